"""The report shows compare()'s figures, needs nothing from anywhere, and survives any job."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import STRINGS, job_text, made, two_finalists
from plotly.offline import get_plotlyjs
from report_page import Page, data, figure, written

from search.journal.trial import TrialResult
from search.report.axes import clipped
from search.report.curves_figure import CURVES
from search.report.frame import COLOURS
from search.report.marks import sample
from search.report.page import write_report
from search.results.read import Results
from search.results.summarise import compare
from spaces.kinds import Metric
from trainables.data.baselines import Baseline

LOSS, ACCURACY = Metric("loss", "minimize"), Metric("accuracy", "maximize")
HOSTILE = "</script><img src=x onerror=alert(1)><b>%{x}&amp;"
COMMANDS = "\x1b]0;title\x07\u202egpj.exe\x9b31m\r"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Page]:
    """The results of a finished job of three arms, and their report."""
    folder = tmp_path_factory.mktemp("finished")
    results = made(folder)
    return results, written(results, folder)


def test_the_tables_show_each_arms_leader(tmp_path: Path) -> None:
    """The arm lstm is led by trial 1, though trial 0 has the better value in the search."""
    baseline = Baseline("majority", {"accuracy": 0.1234}, {"accuracy": 0.2345})
    page = written(replace(two_finalists(tmp_path), baselines=(baseline,)), tmp_path)
    for row in (
        # arm, cell, validation in the search, parameters, training time, test, gap, fresh seeds
        ["lstm", "lstm", "0.9100", "300", "3.00 s", "0.8900 ± 0.0283", "0.0300 ± 0.0000", "2 of 2"],
        ["gru", "gru", "0.8500", "1,000", "1.00 s", "0.7400 ± 0.0000", "0.0300 ± 0.0000", "2 of 2"],
        ["(majority)", "no model", "0.1234", "–", "–", "0.2345", "–", "–"],
        # arm, controls and replicates that diverged, good learning rates, where it is unbeaten
        [
            "lstm",
            "0 of 0",
            "0 of 4",
            "cannot tell: 0 controls, and 12 are needed",
            "parameters, training time",
        ],
        # arm, trials ended, states, at random, epochs, training time, what that was measured on
        ["lstm", "2", "2", "0", "0", "0", "0", "0", "18", "23.0 s", "–"],
        # pair, axis, first one wins, axis, mean difference and its interval, pairs, decision
        ["lstm − gru", "", "100 % (8–100)", "◂▸", "+0.1500 –", "2", "needs 12 (7–46)"],
    ):
        assert row in page.rows
    finalists = [row for row in page.rows if len(row) == 10 and row[1] in ("0", "1")]
    assert [" | ".join(row) for row in finalists] == [
        # arm, trial, search value, validation, test, min, max, seeds, parameters, training time
        "lstm | 1 | 0.9100 | 0.9000 ± 0.0283 | 0.8900 ± 0.0283 | 0.8700 | 0.9100"
        " | 2 of 2 | 300 | 3.00 s",
        "lstm | 0 | 0.9500 | 0.8200 ± 0.0141 | 0.8100 ± 0.0141 | 0.8000 | 0.8200"
        " | 2 of 2 | 2,000 | 20.0 s",
        "gru | 0 | 0.8500 | 0.7500 ± 0.0000 | 0.7400 ± 0.0000 | 0.7400 | 0.7400"
        " | 2 of 2 | 1,000 | 1.00 s",
        "gru | 1 | 0.8400 | 0.6500 ± 0.0000 | 0.6400 ± 0.0000 | 0.6400 | 0.6400"
        " | 2 of 2 | 1,000 | 1.00 s",
    ]


def test_the_page_carries_the_comparison_as_json(finished: tuple[Results, Page]) -> None:
    results, page = finished
    assert data(page)["comparison"] == compare(results).as_dict()


def test_every_sentence_of_the_comparison_is_on_the_page(
    finished: tuple[Results, Page],
) -> None:
    results, page = finished
    figures = compare(results)
    for sentence in (*figures.findings, *figures.cautions, *figures.not_claimed):
        assert sentence in page.texts
    assert results.info.fingerprint in page.text


def test_the_confirm_figure_draws_the_replicates_and_their_means(
    finished: tuple[Results, Page],
) -> None:
    results, page = finished
    arms = compare(results).arms
    traces = figure(page, "confirm")["traces"]
    for arm in arms:
        assert arm.leading is not None and arm.leading.test is not None
        own = [trace for trace in traces if trace["name"] == arm.name]
        assert own[0]["y"] == [each.test for each in arm.leading.replicates]
        assert own[1]["y"] == [arm.leading.test.mean]
        assert own[1]["error_y"]["array"] == [arm.leading.test.deviation]


def test_values_over_parameters_are_those_of_complete_trials(
    finished: tuple[Results, Page],
) -> None:
    results, page = finished
    traces = figure(page, "parameters")["traces"]
    for arm in results.arms:
        drawn = next(each for each in traces if each["name"] == arm and "text" in each)
        complete = [(each.parameters, each.value) for each in results.ranked(arm)]
        assert sorted(zip(drawn["x"], drawn["y"], strict=True)) == sorted(complete)


@pytest.mark.parametrize("others", [["parameters"], ["seconds"], ["parameters", "seconds"]])
def test_the_pareto_front_is_marked_against_each_other_objective(
    tmp_path: Path, others: list[str]
) -> None:
    objectives = f"{{objectives: [value, {', '.join(others)}], trials: 12, seed: 0}}"
    results = made(tmp_path, job_text().replace("{trials: 12, seed: 0}", objectives))
    front = compare(results).front
    page = written(results, tmp_path)
    for name in others:
        traces = figure(page, f"front-{name}")["traces"]
        for arm in results.arms:
            own = [each for each in traces if each["name"] == arm and "text" in each]
            x = "train_seconds" if name == "seconds" else name
            assert sorted(zip(own[1]["x"], own[1]["y"], strict=True)) == sorted(
                (getattr(each, x), each.value) for each in front if each.arm == arm
            )
            complete = results.ranked(arm)
            assert len(own[0]["x"]) + len(own[1]["x"]) == len(complete)
            assert own[0]["marker"]["color"] == own[1]["marker"]["color"]
        assert any(each["name"] == "front" for each in traces) is (len(others) == 1)
    assert f"{len(front)} of" in page.text


def test_a_job_with_one_objective_has_no_front(
    finished: tuple[Results, Page],
) -> None:
    figures = data(finished[1])["figures"]
    assert not [each["name"] for each in figures if each["name"].startswith("front")]


def test_a_pruned_curve_ends_where_it_was_pruned(
    finished: tuple[Results, Page],
) -> None:
    results, page = finished
    traces = figure(page, "curves")["traces"]
    for arm in results.arms:
        ends = next(each for each in traces if each["name"] == arm and "text" in each)
        pruned = [each for each in results.search if each.arm == arm and each.state == "pruned"]
        assert sorted(zip(ends["x"], ends["y"], strict=True)) == sorted(
            (each.epochs, each.curve[-1].value) for each in pruned
        )


def test_nothing_is_loaded_from_anywhere(
    finished: tuple[Results, Page],
) -> None:
    _, page = finished
    for tag, attributes in page.elements:
        assert "src" not in attributes and "srcset" not in attributes, tag
        assert (attributes.get("href") or "#").startswith(("#", "data:")), tag
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "http" not in policy and "connect-src" not in policy
    own = page.scripts[0] + page.scripts[-1]
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?://", own)


def test_the_drawing_library_is_there_once(
    finished: tuple[Results, Page],
) -> None:
    _, page = finished
    assert sum("* plotly.js v" in each for each in page.scripts) == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    def hostile(record: TrialResult) -> TrialResult:
        config = record.config.model_copy(update={"optimizer": HOSTILE})
        if record.number % 5 == 1 and record.phase == "search":
            return replace(record, state="failed", reason=HOSTILE, config=config)
        return replace(record, config=config if record.number % 2 else record.config)

    results = made(tmp_path)
    results = replace(
        results,
        info=replace(results.info, name=HOSTILE),
        trials=[hostile(each) for each in results.trials],
    )
    (tmp_path / "job.yaml").write_text(f"# {HOSTILE}\n")
    page = written(results, tmp_path)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"img", "b", "iframe", "object", "form"}
    assert [tag for tag, _ in page.elements].count("script") == 3
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in page.text
    # Plotly reads HTML of its own; what our script draws, it only ever draws as text.
    plotted = json.dumps([each for each in data(page)["figures"] if "traces" in each])
    assert "<img" not in plotted and "&lt;img" in plotted


def test_what_commands_a_terminal_or_turns_writing_stands_as_escapes(tmp_path: Path) -> None:
    results = made(tmp_path)
    failed = [
        replace(trial, state="failed", reason=COMMANDS, phase=COMMANDS, arm=trial.arm)  # type: ignore[arg-type]
        for trial in results.trials[:1]
    ]
    results = replace(
        results,
        info=replace(results.info, name=COMMANDS, fingerprint=COMMANDS),
        trials=[*failed, *results.trials[1:]],
    )
    (tmp_path / "job.yaml").write_text(f"# {COMMANDS}\n", newline="")
    written(results, tmp_path)
    page = (tmp_path / "report.html").read_bytes().decode()
    plain = get_plotlyjs()
    assert all(page.count(each) == plain.count(each) for each in "\x1b\x07\u202e\x9b\r")
    assert r"\u202egpj.exe" in page


@pytest.mark.parametrize(
    "trials, phase, seeds",
    [(0, "search", 10), (1, "search", 10), (5, "search", 10), (12, "confirm", 1), (12, "done", 0)],
)
def test_any_stage_of_a_job_gives_a_readable_report(
    tmp_path: Path, trials: int, phase: str, seeds: int
) -> None:
    results = made(tmp_path, job_text(seeds=seeds), trials=trials, phase=phase)
    page = written(results, tmp_path)
    assert data(page)["comparison"]["progress"] == compare(results).progress
    assert not re.search(r"\b([Nn]a[Nn]|inf|None|null)\b", page.text)
    drawn = {each["name"] for each in data(page)["figures"]}
    divs = [attributes.get("id") or "" for tag, attributes in page.elements if tag == "div"]
    placed = {each for each in divs if each.startswith("plot-")}
    assert placed == {f"plot-{name}" for name in drawn}
    if trials == 0:
        assert drawn == set()
        assert "No epoch has been reported yet." in page.text


def test_a_nan_stops_the_report_and_keeps_the_former_one(
    tmp_path: Path,
) -> None:
    results = made(tmp_path)
    path = tmp_path / "report.html"
    write_report(results, path)
    before = path.read_bytes()
    broken = replace(results.trials[0], train_seconds=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_report(replace(results, trials=[broken, *results.trials[1:]]), path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["job.yaml", "report.html"]


def test_the_report_of_the_same_records_is_the_same(tmp_path: Path) -> None:
    results = made(tmp_path)
    path = tmp_path / "report.html"
    write_report(results, path)
    before = path.read_bytes()
    write_report(results, path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_reports_job_file_is_the_jobs(tmp_path: Path) -> None:
    results = made(tmp_path)
    assert (tmp_path / "job.yaml").read_text() in written(results, tmp_path).texts
    (tmp_path / "job.yaml").unlink()
    assert "learning_rate" in written(results, tmp_path).text


def test_failures_are_gathered_by_reason(tmp_path: Path) -> None:
    def fails(record: TrialResult) -> TrialResult:
        bad = record.phase == "search" and record.arm == "gru" and record.number < 3
        return replace(record, state="failed", reason="out of memory") if bad else record

    results = made(tmp_path)
    results = replace(results, trials=[fails(each) for each in results.trials])
    page = written(results, tmp_path)
    assert ["gru", "search", "failed", "3", "0, 1, 2", "out of memory"] in page.rows


def test_a_large_job_is_drawn_as_a_sample_and_says_so(tmp_path: Path) -> None:
    results = made(tmp_path, job_text(arms="[lstm]", trials=CURVES + 150, seeds=2))
    page = written(results, tmp_path)
    faint = figure(page, "curves")["traces"][0]
    finalists = 1
    assert faint["x"].count(None) + finalists in (CURVES, CURVES + 1)
    assert f"of {CURVES + 150} curves are drawn" in page.text
    assert "from 150 controls" in page.text
    assert len(data(page)["trials"]["rows"]) == len(results.trials)


def test_a_sample_is_even_over_the_ranks_and_keeps_the_finalists(tmp_path: Path) -> None:
    ranked = made(tmp_path, trials=400).ranked("lstm")
    keep = {ranked[1].number}
    shown = sample(ranked, 10, keep)
    assert shown[:2] == ranked[:2] and len(shown) == 11
    assert sample(ranked, 1000, keep) == ranked


def test_an_axis_is_cut_only_where_outliers_would_flatten_the_rest() -> None:
    assert clipped([value / 100 for value in range(100)], LOSS) is None
    cut = clipped([*(value / 100 for value in range(100)), 900.0], LOSS)
    assert cut is not None and cut[0] < 0 and cut[1] < 2
    cut = clipped([*(value / 100 for value in range(100)), -900.0], ACCURACY)
    assert cut is not None and cut[0] > -2 and cut[1] > 0.99


def test_more_arms_than_colours_are_told_apart_by_symbol_and_dash(tmp_path: Path) -> None:
    names = ", ".join(f"{{name: arm-{number}, cell: lstm}}" for number in range(len(COLOURS) + 2))
    results = made(tmp_path, job_text(arms=f"[{names}]", trials=4, seeds=2))
    traces = figure(written(results, tmp_path), "curves")["traces"]
    looks = {
        (each["line"]["color"], each["line"]["dash"], each["marker"]["symbol"])
        for each in traces
        if each["mode"] == "lines+markers"
    }
    assert len(looks) == len(COLOURS) + 2


def test_a_minimised_metric_is_reported_like_a_maximised_one(tmp_path: Path) -> None:
    text = job_text(task="{name: symbolic, complexity: 30}")
    page = written(made(tmp_path, text, STRINGS), tmp_path)
    assert "lower is better" in page.text and "bits-per-token" in page.text


def test_an_arm_without_importance_says_why(tmp_path: Path) -> None:
    page = written(made(tmp_path, trials=5, phase="search"), tmp_path)
    assert "no importance is shown" in page.text


def test_every_colour_that_is_used_is_defined_for_light_and_dark_pages(
    finished: tuple[Results, Page],
) -> None:
    _, page = finished
    style = "".join(page.styles)
    classes = " ".join(attributes.get("class") or "" for _, attributes in page.elements)
    used = set(re.findall(r"arm-\d", json.dumps(data(page)["figures"]) + classes))
    assert used == {"arm-0", "arm-1", "arm-2"}
    for name in used:
        assert len(re.findall(rf"--{name}: #[0-9a-f]{{6}};", style)) == 2
        assert f".{name} {{ --c: var(--{name}); }}" in style


def test_the_page_s_files_are_part_of_the_package() -> None:
    root = Path(__file__).resolve().parents[3]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = {
        path for p in patterns["package-data"]["search"] for path in root.glob(f"search/{p}")
    }
    files = [path for path in (root / "search" / "report").iterdir() if path.is_file()]
    assert {path for path in files if path.suffix != ".py"} <= packaged

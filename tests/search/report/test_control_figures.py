"""What the page shows of control trials, of configurations and of what results vary with."""

from collections.abc import Sequence
from pathlib import Path

from made_results import STRINGS, VOWELS, job_text, made, trial_result, two_finalists
from report_page import Page, data, figure, written

from search.job.spec import JobSpec
from search.results.controls import control_values
from search.results.evidence import wording
from search.results.evidence.bands import best_of_n
from search.results.read import Results
from search.results.summarise import compare


def controls(folder: Path, **arms: Sequence[float | None]) -> Results:
    """The results of a job whose trials are controls with these values; None: it diverged."""
    most = max(map(len, arms.values()))
    text = job_text(arms=f"[{', '.join(arms)}]", trials=most)
    text = text.replace("seed: 0}", "seed: 0, control_fraction: 1, pruner: none}")
    (folder / "job.yaml").write_text(text)
    trials = [
        trial_result(
            number, value, arm=arm, control=True, state="diverged" if value is None else "complete"
        )
        for arm, values in arms.items()
        for number, value in enumerate(values)
    ]
    return Results(folder, JobSpec.loads(text, "job.yaml"), VOWELS, trials, "done")


def own(page: Page, name: str, arm: str) -> dict[str, list[float | None]]:
    """The line of an arm in a figure; the first trace is its band, the last its legend entry."""
    traces = [trace for trace in figure(page, name)["traces"] if trace["name"] == arm]
    assert len(traces) == 3
    return traces[1]


def test_below_12_controls_the_page_says_why_there_is_no_curve_and_what_to_do(
    tmp_path: Path,
) -> None:
    text = job_text().replace("seed: 0}", "seed: 0, control_fraction: 0.25}")
    page = written(made(tmp_path, text, trials=12), tmp_path)
    assert "budget" not in {each["name"] for each in data(page)["figures"]}
    assert "fewer than 12 control trials (rnn 3, lstm 3 and gru 3)" in page.text
    assert "--trials 36`" in page.text
    # 12 trials and the 36 more that it advises have enough controls.
    page = written(made(tmp_path, text, trials=48), tmp_path)
    assert figure(page, "budget")["traces"][3]["x"] == [1, 2, 3]


def test_a_curve_is_the_median_best_of_n_up_to_a_quarter_of_the_controls(tmp_path: Path) -> None:
    results = made(tmp_path, job_text(trials=160))
    page = written(results, tmp_path)
    values = control_values(results.search, results.arms)
    for arm in results.arms:
        trace = [t for t in figure(page, "budget")["traces"] if t["name"] == arm][1]
        expected = best_of_n(values[arm], maximize=True, ceiling=1.0)
        assert trace["x"] == list(range(1, 11))
        assert trace["y"] == [best.value for best in expected]


def test_where_bands_overlap_the_page_says_that_it_cannot_tell(tmp_path: Path) -> None:
    values = [0.5 + 0.01 * (number * 7 % 24) for number in range(24)]
    page = written(controls(tmp_path, lstm=values, gru=values[::-1]), tmp_path)
    assert "Best value against budget: cannot tell the arms apart" in page.text
    assert "overlap at every number of controls up to 6: lstm and gru." in page.text
    assert "cross between" not in page.text


def test_a_crossing_is_named_with_its_interval(tmp_path: Path) -> None:
    steady = [0.8 + 0.0001 * number for number in range(200)]
    daring = [None if number % 4 else 0.9 for number in range(200)]
    page = written(controls(tmp_path, lstm=steady, gru=daring), tmp_path)
    title = next(text for text in page.texts if text.startswith("Best value against budget: "))
    assert title == (
        "Best value against budget: lstm is ahead with 1 control and gru is ahead with "
        "5 to 17 controls: the curves cross between 1 and 5"
    )


def test_an_arm_with_too_few_controls_is_named_beside_the_curves_of_others(tmp_path: Path) -> None:
    values = [0.5 + 0.01 * number for number in range(12)]
    page = written(controls(tmp_path, lstm=values, gru=values, rnn=values[:5]), tmp_path)
    assert "fewer than 12 control trials (rnn 5)" in page.text
    names = {trace["name"] for trace in figure(page, "budget")["traces"]}
    assert names == {"lstm", "gru"}


def test_the_distribution_counts_diverged_controls_as_worst(tmp_path: Path) -> None:
    lstm = [0.9, None, 0.7, 0.8]
    page = written(controls(tmp_path, lstm=lstm, gru=[0.6, 0.5, 0.4, 0.3]), tmp_path)
    assert own(page, "distribution", "lstm")["y"][-1] == 0.75
    assert own(page, "distribution", "gru")["y"][-1] == 1.0
    assert "lstm 4, 1 diverged and gru 4" in page.text
    assert "half get to 0.7000 (lstm) and 0.4000 (gru)" in page.text


def test_an_arm_of_which_half_diverged_is_not_left_out_of_the_finding(tmp_path: Path) -> None:
    page = written(controls(tmp_path, lstm=[0.9, 0.8], gru=[0.9, None, None], rnn=[None]), tmp_path)
    assert "half get to 0.8000 (lstm); half or more diverged of gru and rnn" in page.text


def test_arms_whose_controls_all_diverged_are_reported_without_figures(tmp_path: Path) -> None:
    page = written(controls(tmp_path, lstm=[None] * 12, gru=[None] * 12), tmp_path)
    assert "distribution" not in {each["name"] for each in data(page)["figures"]}
    assert "No control trial has been trained to its end." in page.text


def test_a_side_that_the_controls_do_not_bound_runs_off_the_figure(tmp_path: Path) -> None:
    text = job_text(task="{name: symbolic, complexity: 30}", trials=48)
    page = written(made(tmp_path, text, STRINGS), tmp_path)
    drawn = figure(page, "budget")
    best, worst = drawn["layout"]["yaxis"]["range"]
    assert best < worst
    for band in drawn["traces"][:3]:
        worse, better = band["y"][:3], band["y"][:2:-1]
        assert better[-1] < best and all(y >= best for y in worse)


def test_every_figure_says_what_it_may_not_be_used_for(tmp_path: Path) -> None:
    objectives = "{objectives: [value, parameters], trials: 48, seed: 0}"
    text = job_text(seeds=4).replace("{trials: 12, seed: 0}", objectives)
    page = written(made(tmp_path, text), tmp_path)
    drawn = data(page)["figures"]
    assert {each["name"] for each in drawn} == {
        *(
            "confirm",
            "costs",
            "front-parameters",
            "budget",
            "distribution",
            "parallel",
            "importance",
        ),
        *("slices", "contours", "curves", "parameters", "time", "timeline"),
    }
    limits = [a for tag, a in page.elements if tag == "p" and "not-for" in (a.get("class") or "")]
    # Beside the figures, the verdict's, the configurations and the components of variance have one.
    assert len(limits) == len(drawn) + 3
    assert len([text for text in page.texts if text.startswith("Not for ")]) == len(limits)


def test_finalists_stand_side_by_side_and_what_is_alike_is_a_sentence(tmp_path: Path) -> None:
    page = written(two_finalists(tmp_path), tmp_path)
    assert ["setting", "lstm, trial 1", "lstm, trial 0", "gru, trial 0", "gru, trial 1"] in (
        page.rows
    )
    assert ["hidden_size", "17", "64", "64", "64"] in page.rows
    assert ["depth", "1", "2", "2", "2"] in page.rows
    assert ["search trial", "1", "0", "0", "1"] in page.rows
    assert "learning_rate" not in [row[0] for row in page.rows if row]
    assert "learning_rate 0.01" in page.text and "Alike in all: " in page.text


def test_what_results_vary_with_is_on_the_page_where_the_verdict_has_it(tmp_path: Path) -> None:
    results = made(tmp_path)
    sentence = wording.variance(compare(results).verdict)
    assert sentence is not None
    assert sentence in written(results, tmp_path).texts
    alone = made(tmp_path, job_text(seeds=0))
    assert "What results vary with" not in written(alone, tmp_path).text

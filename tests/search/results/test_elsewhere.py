"""Claims about results that any tool wrote: what is judged, what is refused and how it is said."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from search.cli import app
from search.results.elsewhere import verdicts
from search.results.evidence.pairs import Margin
from search.results.evidence.verdict import Verdict
from spaces.errors import InputError
from spaces.kinds import Metric

ACCURACY = Metric("accuracy", "maximize")


def written(folder: Path, header: str, rows: Iterable[str]) -> Path:
    path = folder / "results.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def judged(path: Path, **options: object) -> tuple[Verdict, list[str]]:
    found, notes, _ = verdicts(path, metric=ACCURACY, **options)  # type: ignore[arg-type]
    [verdict] = found.values()
    return verdict, notes


def test_the_arm_that_wins_every_replicate_is_the_winner(tmp_path: Path) -> None:
    rows = [f"{arm},{i},{value}" for i in range(10) for arm, value in (("a", 0.8), ("b", 0.9))]
    verdict, notes = judged(written(tmp_path, "arm,replicate,value", rows))
    assert (verdict.kind, verdict.winner, notes) == ("decided", "b", [])
    assert (verdict.pairs[0].pairs, verdict.design) == (10, "given")


def test_lines_and_columns_may_stand_in_any_order_and_others_are_ignored(tmp_path: Path) -> None:
    rows = [f"{i},x,{v},{arm}" for i in range(10) for arm, v in (("a", 0.8), ("b", 0.9))]
    plain, _ = judged(written(tmp_path, "pair,note,value,arm", rows))
    turned, _ = judged(written(tmp_path, "pair,note,value,arm", ["", *reversed(rows)]))
    assert plain.winner == turned.winner == "b"


def test_what_one_arm_alone_has_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = ["a,1,0.9", "a,2,0.9", "a,3,0.9", "b,2,0.8", "b,4,0.8"]
    verdict, notes = judged(written(tmp_path, "arm,replicate,value", rows))
    assert verdict.pairs[0].pairs == 1
    assert notes == ["3 results left out: no other arm has a partner."]


def test_several_results_of_one_split_are_one_pair(tmp_path: Path) -> None:
    """They share the split's luck: taken as further pairs they would claim too much."""
    rows = [
        f"{arm},{split},{seed},{value + seed / 1000}"
        for split in range(4)
        for seed in range(5)
        for arm, value in (("a", 0.8), ("b", 0.9))
    ]
    verdict, notes = judged(written(tmp_path, "arm,split,replicate,value", rows))
    assert (verdict.kind, verdict.pairs[0].pairs) == ("undecided", 4)
    assert "each split as one pair" in notes[0]
    assert verdict.variance.seed == pytest.approx(2.5e-6)


def test_replicates_of_the_only_split_are_pairs(tmp_path: Path) -> None:
    rows = [f"{a},test,{i},{v}" for i in range(10) for a, v in (("a", 0.8), ("b", 0.9))]
    verdict, _ = judged(written(tmp_path, "arm,split,replicate,value", rows))
    assert verdict.pairs[0].pairs == 10


def test_a_diverged_replicate_is_a_loss(tmp_path: Path) -> None:
    rows = [f"{a},{i},{v}" for i in range(10) for a, v in (("a", "diverged"), ("b", "0.1"))]
    verdict, _ = judged(written(tmp_path, "arm,replicate,value", rows))
    assert verdict.winner == "b" and verdict.pairs[0].difference is None


def test_each_task_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    rows = [
        f"{task},{arm},{i},{value}"
        for task, better in (("t1", "a"), ("t2", "b"))
        for i in range(10)
        for arm, value in (("a", 0.9 if better == "a" else 0.8), ("b", 0.85))
    ]
    path = written(tmp_path, "task,arm,replicate,value", rows)
    found, _, _ = verdicts(path, metric=ACCURACY)
    assert {task: verdict.winner for task, verdict in found.items()} == {"t1": "a", "t2": "b"}


REFUSED = {
    "no column arm": ("model,replicate,value", ["a,1,0.5"], ":1: there must be a column 'arm'"),
    "no column value": ("arm,replicate,score", ["a,1,0.5"], "there must be a column 'value'"),
    "no key": ("arm,value", ["a,0.5"], "there must be a column 'replicate', 'pair' or 'split'"),
    "a column twice": ("arm,value,value,pair", ["a,1,1,1"], "'value' must stand once, not 2"),
    "semicolons": ("arm;pair;value", ["a;1;0.5"], "divided by commas, not by ';'"),
    "NaN": (
        "arm,pair,value",
        ["a,1,0.5", "b,1,nan"],
        ":3: value must be a finite number, not 'nan'",
    ),
    "empty": ("arm,pair,value", ["a,1,"], ":2: value must be a finite number, not ''"),
    "infinite": ("arm,pair,value", ["a,1,1e999"], "must be a finite number, not '1e999'"),
    "too large": ("arm,pair,value", ["a,1,1e308"], ":2: value must be between -1e+100 and 1e+100"),
    "decimal comma": ("arm,pair,value", ['a,1,"0,5"'], "write 0.5"),
    "percent": ("arm,pair,value", ["a,1,97%"], "leave the sign out"),
    "short line": ("arm,pair,value", ["a,1"], ":2: a line must have 3 values"),
    "no arm": ("arm,pair,value", [",1,0.5"], ":2: arm must be a name, not empty"),
    "twice": ("arm,pair,value", ["a,1,0.5", "b,1,0.5", "a,1,0.6"], ":4: arm a must have one value"),
    "one arm": ("arm,pair,value", ["a,1,0.5"], "results of two arms, not of a alone"),
    "no lines": ("arm,pair,value", [], "results of two arms, not of none"),
    "open quote": ("arm,pair,value", ['a,1,"0.5'], "must be a CSV file"),
}


@pytest.mark.parametrize(("header", "rows", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_as_it_must_be_is_refused_with_its_line_and_a_remedy(
    tmp_path: Path, header: str, rows: list[str], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        verdicts(written(tmp_path, header, rows), metric=ACCURACY)
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "results.csv"))
    assert all(problem.remedy for problem in refused.value.problems)


def test_every_wrong_line_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "arm,pair,value", ["a,1,x", "b,1,0.5", "b,2"])
    with pytest.raises(InputError) as refused:
        verdicts(path, metric=ACCURACY)
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x01", b"\x00" * 50])
def test_what_is_no_csv_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "results.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    for place in (path, tmp_path / "nothing.csv"):
        with pytest.raises(InputError):
            verdicts(place, metric=ACCURACY)


def test_what_never_ends_is_refused() -> None:
    with pytest.raises(InputError, match="must be smaller than 100 MiB"):
        verdicts(Path("/dev/zero"), metric=ACCURACY)


def test_values_in_percent_need_a_margin_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, "arm,pair,value", ["a,1,95", "b,1,96"])
    with pytest.raises(InputError, match="--margin must be given"):
        verdicts(path, metric=ACCURACY)
    verdict, _ = judged(path, margin=Margin(1))
    assert verdict.pairs[0].ties == 1


def test_the_command_prints_the_agreed_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{arm},{i},{v}" for i in range(10) for arm, v in (("a", 0.10), ("b", 0.12))]
    path = written(tmp_path, "arm,replicate,value", rows)
    app.app(
        ["judge", str(path), "--metric", "mse", "--margin", "1%", "--baseline", "1", "--json"],
        standalone_mode=False,
    )
    plain = json.loads(capsys.readouterr().out)
    assert (plain["kind"], plain["best"]) == ("decided", ["a"])
    assert (plain["margin"], plain["margin_relative"]) == (0.01, True)
    assert plain["baselines"] == [{"name": "baseline", "value": 1.0}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "f1"], "--direction must be given"),
        (["--margin", "two"], "--margin must be a number"),
        (["--margin", "-1"], "--margin must be a number"),
        (["--margin", "100%"], "percentage below 100 %"),
        (["--confidence", "95"], "--confidence must lie between"),
        (["--baseline", "nan"], "--baseline must be a finite number"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Path, options: list[str], message: str
) -> None:
    path = written(tmp_path, "arm,pair,value", ["a,1,0.5", "b,1,0.6"])
    with pytest.raises(InputError, match=message):
        app.app(["judge", str(path), *options], standalone_mode=False)


def test_a_task_is_shown_as_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "task,arm,pair,value", ["[/x],a,1,0.5", "[/x],b,1,0.6"])
    app.app(["judge", str(path)], standalone_mode=False)
    assert capsys.readouterr().out.startswith("[/x] ")


def test_the_remedy_for_a_line_without_arm_does_not_remove_the_column(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        verdicts(written(tmp_path, "arm,pair,value", [",1,0.5"]), metric=ACCURACY)
    assert [problem.remedy for problem in refused.value.problems] == ["fill it in"]

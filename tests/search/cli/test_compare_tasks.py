"""Claims about `compare` of several jobs, and the pages of verdicts: what they say and write."""

import json
import shutil
from pathlib import Path

import pytest
from report_page import Page

from search.cli import app
from search.journal.base import decode, encode
from search.results.across_jobs import same_data
from search.results.read import read_results
from spaces.errors import InputError

FINISHED = Path(__file__).resolve().parents[2] / "data" / "runs_before" / "finished"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A root of seven jobs with the same results, each said to be of a task of its own."""
    for number in range(7):
        folder = tmp_path / f"adding{number}"
        shutil.copytree(FINISHED, folder)
        first, rest = (folder / "job.journal").read_bytes().split(b"\n", 1)
        group = decode(first + b"\n")
        assert group is not None
        group[0]["task"]["fingerprint"] = f"{number:064d}"
        group[0]["spec"]["task"]["length"] = 8 + number
        (folder / "job.journal").write_bytes(encode(group) + rest)
    return tmp_path


def run(*arguments: str) -> None:
    app.app(list(arguments), standalone_mode=False)


def test_seven_jobs_are_compared_in_json_terminal_and_page(
    tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"adding{number}" for number in range(7)]
    page = tasks / "tasks.html"
    run("compare", *names, "--root", str(tasks), "--json", "--report", str(page))
    printed = capsys.readouterr()
    plain = json.loads(printed.out)
    assert [task["job"] for task in plain["tasks"]] == names
    assert (plain["pairs"][0]["first"], plain["pairs"][0]["second"]) == ("lstm", "gru")
    for pair in plain["pairs"]:
        assert pair["decision"] in ("better", "equivalent", "inconclusive")
        assert len(pair["tasks"]) == 7
        assert pair["mean_interval"][0] <= pair["mean_probability"] <= pair["mean_interval"][1]
        assert sum(pair["signed_rank"].values()) == pytest.approx(1)
    assert {arm["arm"] for arm in plain["ranks"]["arms"]} == {"lstm", "gru", "any"}
    assert "tasks.html" in printed.err

    read = Page(page.read_text())
    assert plain["sentence"] in read.text and "Critical-difference diagram" in read.text
    loaded = [attributes for tag, attributes in read.elements if tag in ("script", "img", "link")]
    assert [
        each for each in loaded if "src" in each or each.get("href", "data:,") != "data:,"
    ] == []

    run("compare", *names, "--root", str(tasks))
    shown = capsys.readouterr().out
    assert " ".join(plain["sentence"].split()) in " ".join(shown.split())
    assert "Mean ranks over 7 tasks" in shown


def test_a_page_of_few_tasks_says_why_it_has_no_diagram(tasks: Path) -> None:
    page = tasks / "tasks.html"
    run("compare", "adding0", "adding1", "--root", str(tasks), "--report", str(page), "--json")
    assert (
        "no two could be told apart by their ranks on fewer than 7 tasks"
        in Page(page.read_text()).text
    )


def test_one_job_has_its_report_and_no_page_of_tasks(tasks: Path) -> None:
    with pytest.raises(InputError, match="--report must stand with several jobs"):
        run("compare", "adding0", "--root", str(tasks), "--report", str(tasks / "x.html"))


def test_data_is_the_same_whatever_its_seed(tasks: Path) -> None:
    one, other = (read_results(tasks / f"adding{number}") for number in (0, 1))
    assert same_data(one, one) and not same_data(one, other)


def test_judge_writes_a_page_of_each_task_and_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"task<{task}>,{arm},{i},{0.8 + 0.03 * (arm == 'b') + i / 1000}"
        for task in range(6)
        for arm in "ab"
        for i in range(8)
    ]
    results, page = tmp_path / "results.csv", tmp_path / "page.html"
    results.write_text("\n".join(["task,arm,replicate,value", *rows]))
    run("judge", str(results), "--report", str(page), "--json")
    plain = json.loads(capsys.readouterr().out)
    assert list(plain["tasks"]) == [f"task<{number}>" for number in range(6)]
    assert plain["across"]["pairs"][0]["winner"] == "b"
    read = Page(page.read_text())
    assert plain["across"]["sentence"] in read.text
    for name, verdict in plain["tasks"].items():
        assert name in read.text and verdict["sentence"] in read.text
    run("judge", str(results))
    assert "On further tasks like these 6, b is better" in " ".join(capsys.readouterr().out.split())


def test_judge_writes_a_page_of_one_verdict(tmp_path: Path) -> None:
    rows = [f"{arm},{i},{v}" for i in range(10) for arm, v in (("a", 0.8), ("b", 0.9))]
    results, page = tmp_path / "results.csv", tmp_path / "page.html"
    results.write_text("\n".join(["arm,replicate,value", *rows, "b,99,0.7"]))
    run("judge", str(results), "--report", str(page))
    read = Page(page.read_text())
    assert "b beats a by more than 0.01 in accuracy in 100 % of cases" in read.text
    assert "1 result left out" in read.text and "svg" in {tag for tag, _ in read.elements}


def test_sizes_add_an_interval_for_overlapping_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{arm},{i},{v + i * i / 999}" for i in range(8) for arm, v in (("a", 0.1), ("b", 0.2))]
    results = tmp_path / "results.csv"
    results.write_text("\n".join(["arm,split,value", *rows]))
    run("judge", str(results), "--sizes", "300:100", "--json")
    [pair] = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["sensitivity_interval"] == pytest.approx([-0.1, -0.1])
    with pytest.raises(InputError, match="--sizes must be two numbers of examples"):
        run("judge", str(results), "--sizes", "300")

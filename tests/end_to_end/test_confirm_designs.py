"""Claims about replicates of every design, on a real local Ray: pairs, splits, kills."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from installed import alike, gatesearch, records, running
from waiting import wait_until

from search.journal.file import FileReader
from trainables.training.examples import Examples

JOB = """\
name: dealt
task: {name: japanese-vowels}
arms: [rnn, gru]
space: {depth: 1, hidden_size: {choices: [8, 16]}, learning_rate: 0.01}
training: {max_epochs: 3}
search: {trials: 2, sampler: random, pruner: none, seed: 3}
resources: {max_concurrent: 1}
confirm: """
DESIGNS = {
    "splits": "{design: splits, finalists: 1, replicates: 4}",
    "nested": "{design: nested, replicates: 4, configurations: 3}",
    "auto": "{design: splits, finalists: 1, replicates: auto, max_replicates: 8, margin: 1}",
}


@pytest.fixture(scope="module", params=DESIGNS)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a job of a design was run to its end."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "dealt.yaml").write_text(JOB + DESIGNS[request.param] + "\n")
    gatesearch("run", "dealt.yaml", cwd=folder)
    return folder


def confirm(folder: Path) -> list[dict[str, Any]]:
    listed = json.loads(gatesearch("results", "dealt", "--phase", "confirm", "--json", cwd=folder))
    assert all(record["state"] == "complete" for record in listed)
    return list(listed)


def groups(folder: Path) -> int:
    path = folder / "runs/dealt/job.journal"
    return len(FileReader(path).read()) if path.exists() else 0


def confirming(folder: Path) -> bool:
    path = folder / "runs/dealt/job.journal"
    read = FileReader(path).read() if path.exists() else []
    return any(record.get("record") == "phase" for group in read for record in group)


def test_replicates_of_equal_number_are_on_the_same_split_with_the_same_seed(ran: Path) -> None:
    found = confirm(ran)
    pairs: dict[tuple[int, int | None], set[tuple[str, int]]] = {}
    for record in found:
        assert record["split"] == record["replicate"]
        place = record["replicate"], record["candidate"]
        pairs.setdefault(place, set()).add((record["arm"], record["seed"]))
    assert len({replicate for replicate, _ in pairs}) >= 4
    for each in pairs.values():
        assert {arm for arm, _ in each} == {"rnn", "gru"}
        assert len({seed for _, seed in each}) == 1
    values = {record["value"] for record in found if record["arm"] == "gru"}
    assert len(values) > 1, "other splits have other validation values"


def test_test_values_come_again_from_the_scores_of_single_examples(ran: Path) -> None:
    scored = [record for record in confirm(ran) if record["test"] is not None]
    assert {(record["arm"], record["replicate"]) for record in scored} == {
        (record["arm"], record["replicate"]) for record in confirm(ran)
    }
    for record in scored:
        folder = ran / "runs/dealt/checkpoints" / record["scores"]["name"]
        examples = Examples.read(folder, record["scores"]["sha256"])
        assert len(examples.loss) == 370
        assert examples.metrics("classification", "accuracy") == pytest.approx(
            record["test"], rel=1e-5
        )


def test_every_scored_replicate_has_its_generalisation_gap(ran: Path) -> None:
    listed = [record for record in records(ran, "dealt") if record["test"] is not None]
    assert listed and all(record["phase"] == "confirm" for record in listed)
    gaps = {
        (r["arm"], r["number"]): r["training"]["accuracy"] - r["test"]["accuracy"] for r in listed
    }
    rows = pq.read_table(ran / "runs/dealt/results.parquet").to_pylist()
    told = {(row["arm"], row["number"]): row["gap"] for row in rows if row["gap"] is not None}
    assert told == pytest.approx(gaps)


def test_the_verdict_speaks_of_the_design_and_of_every_pair(ran: Path) -> None:
    verdict = json.loads((ran / "runs/dealt/verdict.json").read_text())
    assert verdict["design"] == ("nested" if "nested" in ran.name else "splits")
    (pair,) = verdict["pairs"]
    assert pair["pairs"] == len({record["replicate"] for record in confirm(ran)})
    assert ("sensitivity_interval" in pair) is ("nested" in ran.name)
    assert ("resampled_interval" in pair) is ("nested" not in ran.name)
    if "auto" in ran.name:
        assert pair["decision"] == "equivalent", "no difference is above a margin of 1"


def test_the_table_of_arms_has_the_test_values_of_every_replicate(ran: Path) -> None:
    compared = json.loads(gatesearch("compare", "dealt", "--json", cwd=ran))
    for arm in compared["arms"]:
        replicates = {r["replicate"] for r in confirm(ran) if r["arm"] == arm["name"]}
        found = arm["nested"] or arm["finalists"][0]
        assert found["test"]["n"] == len(replicates)
    assert "test (new splits)" in gatesearch("compare", "dealt", cwd=ran)


def test_only_what_is_of_use_is_left_in_the_store(ran: Path) -> None:
    kept = {path.name for path in (ran / "runs/dealt/checkpoints").iterdir()}
    listed = records(ran, "dealt")
    search = {r["checkpoint"] for r in listed if r["phase"] == "search" and r["checkpoint"]}
    scores = {r["scores"]["name"] for r in listed if r["scores"]}
    assert kept == search | scores


KILLS = [(design, moment) for design in DESIGNS for moment in (1, 3, 6)]


@pytest.mark.parametrize(
    ("ran", "moment"),
    [
        pytest.param(*kill, marks=() if kill == ("splits", 3) else pytest.mark.slow)
        for kill in KILLS
    ],
    indirect=["ran"],
)
def test_a_job_killed_among_its_replicates_ends_as_one_that_was_not(
    ran: Path, tmp_path: Path, moment: int
) -> None:
    (tmp_path / "dealt.yaml").write_text((ran / "dealt.yaml").read_text())
    with running("run", "dealt.yaml", cwd=tmp_path):
        wait_until(lambda: confirming(tmp_path), "replicates begin")
        first = groups(tmp_path)
        wait_until(lambda: groups(tmp_path) >= first + moment, "some groups more")
    gatesearch("resume", "dealt", cwd=tmp_path)
    assert alike(records(tmp_path, "dealt")) == alike(records(ran, "dealt"))

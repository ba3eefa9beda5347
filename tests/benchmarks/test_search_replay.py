"""The contract of every method that the replay compares, on a small table of made curves."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import search_replay
from recorded_curves import INFO, InMemory, Replay, Table, job_on, placed
from search_replay import METHODS, interval

from search.journal.base import decode
from search.journal.replay import JobState
from search.run.driver import Driver
from spaces.domains import Range

STEPS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one table: curves fall towards a bowl's floor, and high rates diverge."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    rate, decay = 10 ** rng.uniform(-4, 0, 200), rng.uniform(0, 0.5, 200)
    floor = 0.1 + (np.log10(rate) + 2) ** 2 / 8 + decay
    loss = floor[:, None] + np.exp(-np.arange(1, 12) / (1 + 4 * decay[:, None]))
    loss[rate > 0.5, 3:] = np.inf
    np.savez(folder / "bowl.npz", names=["rate", "decay"], x=np.c_[rate, decay], valid_loss=loss)
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return Table.load(folder / "bowl.npz")


def begin(table: Table, method: str, journal: InMemory, slots: int = 1) -> Replay:
    job = job_on(table, METHODS[method], STEPS, seed=3)
    return Replay(table, Driver(job, INFO, journal), slots)


def told(journal: InMemory) -> JobState:
    state = JobState()
    state.apply_all([group for line in journal.lines if (group := decode(line)) is not None])
    return state


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_same_seed_gives_the_same_search(table: Table, method: str) -> None:
    first, second = (list(begin(table, method, InMemory()).run()) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_search_keeps_its_promises(table: Table, method: str, slots: int) -> None:
    journal = InMemory()
    list(begin(table, method, journal, slots).run())
    trials = list(told(journal).trials.values())
    assert {trial.state for trial in trials} <= {"complete", "pruned", "diverged"}
    assert all(trial.epoch <= table.steps for trial in trials)
    assert all((trial.epoch == table.steps) == (trial.state == "complete") for trial in trials)
    assert any(trial.state == "complete" for trial in trials)
    spent = sum(trial.epoch for trial in trials)
    assert STEPS <= spent < STEPS + slots * table.steps


def test_a_killed_search_goes_on_as_an_undisturbed_one(table: Table, method: str) -> None:
    undisturbed = InMemory()
    list(begin(table, method, undisturbed).run())
    want = told(undisturbed)
    killed = InMemory()
    list(islice(begin(table, method, killed).run(), STEPS // 2))
    history = [group for line in killed.lines if (group := decode(line)) is not None]
    resumed = InMemory(history)
    list(begin(table, method, resumed).run())
    resumed.lines = killed.lines + resumed.lines
    got = told(resumed)
    assert [replace(trial, checkpoints=[]) for trial in got.trials.values()] == [
        replace(trial, checkpoints=[])
        for trial in want.trials.values()  # named by their driver
    ]


def test_no_row_is_tried_twice_while_others_are_free(table: Table, method: str) -> None:
    journal = InMemory()
    list(begin(table, method, journal).run())
    tries = Counter(trial.config.batch_size for trial in told(journal).trials.values())
    assert max(tries.values()) == 1


def test_samplers_are_told_the_row_that_was_trained(table: Table) -> None:
    job = job_on(table, METHODS["tpe-stopping-1-3"], STEPS, seed=3)
    replay = Replay(table, Driver(job, INFO, InMemory()))
    list(replay.run())
    study = replay.driver._studies["lstm"]
    for trial in study._stored.trials:
        row = replay.driver.job_state.trials[f"search/lstm/{trial.number}"].config.batch_size - 1
        assert trial.params == table.values(row)


def test_a_hyperparameter_lies_on_its_most_even_scale() -> None:
    even = np.linspace(0, 1, 50)
    unit = Range(0.0, 1.0)
    for x, domain in (
        (3 + even, unit),
        (10 ** (4 * even - 5), Range(1e-5, 0.1, log=True)),
        (1 - 10 ** (-4 * even - 1), unit),
    ):
        found, places = placed(x)
        assert (found.low, found.high) == pytest.approx((domain.low, domain.high))
        assert found.log == domain.log
        assert np.sort(places) == pytest.approx(even)


def test_an_interval_holds_the_mean_and_narrows_with_the_spread() -> None:
    rng = np.random.default_rng(0)
    wide = rng.random((6, 30))
    low, high = interval(wide, rng)
    assert low < wide.mean() < high
    assert interval(np.full((6, 30), 0.5), rng) == (0.5, 0.5)


def test_the_figures_are_written_with_the_default_marked(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.json"
    methods = "random-unpruned,freeze-thaw"
    given = ["--tables", folder, "--methods", methods, "--steps", "20,60", "--seeds", "2"]
    monkeypatch.setattr("sys.argv", ["search_replay.py", *map(str, given), "--json", str(out)])
    search_replay.main()
    assert "nearest row" in capsys.readouterr().out
    rows = json.loads(out.read_text())["rows"]
    assert [(row["method"], row["steps"]) for row in rows] == [
        (method, steps) for method in methods.split(",") for steps in (20, 60)
    ]
    for row in rows:
        assert row["low"] <= row["regret"] <= row["high"] <= 1
        assert row["per_task"] == {"bowl": row["regret"]}
    assert len({row["default"] for row in rows}) == 2

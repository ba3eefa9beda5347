"""The Pareto front of a job's records, and samplers that aim at several objectives."""

from pathlib import Path
from typing import Any

import pytest
from driven import drive, job
from hypothesis import given
from hypothesis import strategies as st
from made_results import trial_result

from search.journal.replay import JobState
from search.journal.trial import TrialResult
from search.results.pareto import pareto
from search.results.read import read_results
from search.results.summarise import compare
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.kinds import Metric
from spaces.sizes import parameters
from trainables.worker.messages import TrialAssignment

ALL = ("value", "parameters", "seconds")
LOSS = Metric("loss", "minimize")


def record(
    number: int, value: float | None, size: int, seconds: float, **changes: Any
) -> TrialResult:
    return trial_result(number, value, parameters=size, train_seconds=seconds, **changes)


figures = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@given(st.lists(figures, max_size=20))
def test_the_front_is_what_no_other_trial_beats(rows: list[tuple[int, int, int]]) -> None:
    records = [record(n, *row) for n, row in enumerate(rows)]
    front = {each.number for each in pareto(records, ALL)}
    for number, (value, size, seconds) in enumerate(rows):
        beaten = any(
            v >= value and p <= size and s <= seconds and (v, p, s) != (value, size, seconds)
            for v, p, s in rows
        )
        assert (number in front) is not beaten


def test_a_small_metric_is_better_where_the_task_says_so() -> None:
    records = [record(n, loss, 100 - n, 1.0, metric=LOSS) for n, loss in enumerate([3, 2])]
    assert [each.number for each in pareto(records, ["value", "parameters"])] == [1]


def test_only_complete_search_trials_are_on_the_front() -> None:
    records = [
        record(0, 0.9, 10, 1.0, state="pruned"),
        record(1, 0.9, 10, 1.0, phase="confirm"),
        record(2, None, 10, 1.0),
        record(3, 0.1, 99, 9.0),
    ]
    assert [each.number for each in pareto(records, ALL)] == [3]


SPACE = {
    "hidden_size": {"low": 4, "high": 120},
    "depth": {"low": 1, "high": 3},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
}


def sized(work: TrialAssignment, epoch: int) -> float:
    """Return a value that a larger model has more of, up to a point."""
    return 1 - 8 / (7 + work.config.hidden_size) - 0.02 * (work.config.depth - 1)


def searched(folder: Path, sampler: str, objectives: list[str], trials: int) -> JobState:
    folder.mkdir()
    wanted = job(
        folder,
        arms=["lstm"],
        space=SPACE,
        training={"max_epochs": 1},
        search={
            "sampler": sampler,
            "objectives": objectives,
            "trials": trials,
            "control_fraction": 0.0,
        },
        confirm={"seeds": 0},
    )
    return drive(wanted, folder, value=sized, size=lambda work: count(work.config))


def count(config: TrialConfig) -> int:
    return parameters(config, 12, 9)


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_a_sampler_aims_at_all_objectives(tmp_path: Path, sampler: str) -> None:
    """With the number of parameters as an objective, small models are tried far more often."""
    one = searched(tmp_path / "one", sampler, ["value"], 120)
    two = searched(tmp_path / "two", sampler, ["value", "parameters"], 120)

    def late(job_state: JobState) -> float:
        sizes = [count(entry.config) for entry in job_state.trials.values()][60:]
        return sum(sizes) / len(sizes)

    assert late(two) < 0.8 * late(one)


@pytest.mark.parametrize(
    "sampler",
    ["tpe", pytest.param("gp", marks=pytest.mark.slow), "nsgaii", "nsgaiii", "random", "qmc"],
)
def test_every_sampler_but_cmaes_takes_three_objectives(tmp_path: Path, sampler: str) -> None:
    trials = 6 if sampler == "gp" else 20
    job_state = searched(tmp_path / "job", sampler, [*ALL], trials)
    assert len(job_state.trials) == trials


def test_compare_tells_the_front_where_there_are_several_objectives(tmp_path: Path) -> None:
    searched(tmp_path / "job", "tpe", ["value", "parameters"], 20)
    found = read_results(tmp_path / "job")
    front = compare(found).as_dict()["front"]
    assert [(row["arm"], row["number"]) for row in front] == [
        (each.arm, each.number) for each in pareto(found.search, ["value", "parameters"])
    ]
    assert len(front) > 1
    searched(tmp_path / "single", "tpe", ["value"], 3)
    assert compare(read_results(tmp_path / "single")).front == ()


@pytest.mark.parametrize(
    ("search", "rule"),
    [
        ({"objectives": ["parameters", "value"]}, "the first objective must be value"),
        ({"objectives": ["value", "seconds", "seconds"]}, "must be listed once"),
        ({"objectives": []}, "objectives"),
        ({"objectives": ["value", "speed"]}, "objectives"),
        (
            {"objectives": ["value", "parameters"], "sampler": "cmaes"},
            "cmaes must have one objective",
        ),
    ],
)
def test_objectives_that_make_no_sense_are_refused(
    tmp_path: Path, search: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InputError, match=rule):
        job(tmp_path, space={**SPACE, "dropout": 0.0}, search=search)

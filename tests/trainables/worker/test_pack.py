"""Several trials in one worker's hands: each is what it is alone, whoever comes, goes or fails."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import small_config

from trainables.checkpoints.base import StoreAwayError
from trainables.checkpoints.local import LocalStore
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data
from trainables.training import step
from trainables.training.cohort import Cohort
from trainables.training.examples import Examples
from trainables.training.trainer import Training
from trainables.worker import pack as packs
from trainables.worker.messages import TrialAssignment, TrialReport
from trainables.worker.pack import Pack

EPOCHS = 4

Curves = dict[str, list[tuple[int, float, dict[str, float]]]]


def work(number: int, **changes: Any) -> TrialAssignment:
    rungs = changes.pop("rungs", [])
    measured = changes.pop("measure_latency", False)
    changes = {"learning_rate": 0.01 * (number + 1), "max_epochs": EPOCHS, **changes}
    config = small_config(**changes)
    key = f"search/gru/{number}"
    return TrialAssignment(key, 1, config, number, rungs, measure_latency=measured)


def pack(folder: Path, data: Data, limit: int | None, *given: TrialAssignment) -> Pack:
    made = Pack(data, LocalStore(folder), "cpu", None if limit is None else lambda config: limit)
    made.add(given)
    return made


def finish(made: Pack, most: int = 1000) -> list[TrialReport]:
    """Go on until nothing is in hand any more; return all reports."""
    reports: list[TrialReport] = []
    for _ in range(most):
        if not len(made):
            return reports
        reports += made.advance()
    raise AssertionError("the trials never end")


def curves(reports: Sequence[TrialReport]) -> Curves:
    """Return the trials' learning curves without times."""
    found: Curves = {}
    for report in reports:
        for point in report.epochs:
            found.setdefault(report.key, []).append((point.epoch, point.train_loss, point.metrics))
    return found


def alone(folder: Path, data: Data, *given: TrialAssignment) -> Curves:
    """Return the curves of trials that are trained one after the other."""
    found: Curves = {}
    for assignment in given:
        (folder / "alone").mkdir(exist_ok=True)
        found |= curves(finish(pack(folder / "alone", data, None, assignment)))
    return found


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The trials of every cohort that was made, by their shapes' and seeds' numbers."""
    made: list[list[str]] = []
    build = Cohort.__init__

    def built(self: Cohort, members: Any) -> None:
        made.append([f"{each.config.hidden_size}/{each.seed}" for each in members])
        build(self, members)

    monkeypatch.setattr(Cohort, "__init__", built)
    return made


def test_trials_of_one_shape_train_as_cohorts_of_its_limit(
    make_data: Any, tmp_path: Path, together: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", math.inf)
    data, given = make_data(), [work(n, hidden_size=6 + n // 3) for n in range(5)]
    found = curves(finish(pack(tmp_path, data, 2, *given)))
    assert together == [["6/0", "6/1"], ["6/2"], ["7/3", "7/4"]]
    assert found == alone(tmp_path, data, *given)


def test_trials_on_splits_of_their_own_train_together_as_alone(
    make_data: Any, tmp_path: Path, together: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", math.inf)
    data = make_data()
    given = [replace(work(n), split=Split("splits", n // 2), test=True) for n in range(4)]
    reports = finish(pack(tmp_path, data, 4, *given))
    assert together == [["6/0", "6/1", "6/2", "6/3"]]
    found = curves(reports)
    assert found == alone(tmp_path, data, *given)
    assert found != alone(tmp_path, data, *(replace(one, split=None) for one in given))
    for report in reports:
        assert report.scores is not None
        with LocalStore(tmp_path).reading(report.scores["name"]) as folder:
            examples = Examples.read(folder, report.scores["sha256"])
        assert examples.metrics("classification", "accuracy") == pytest.approx(report.test)


def test_replicates_of_a_cohort_are_scored_on_the_training_data_of_their_own_split(
    make_data: Any, tmp_path: Path
) -> None:
    data = make_data()
    given = [replace(work(n), split=Split("splits", n // 2), test=True) for n in range(4)]
    given.append(replace(work(4), test=False))
    told = {r.key: r.training for r in finish(pack(tmp_path, data, 5, *given)) if r.training}
    assert told.keys() == {one.key for one in given[:4]}, "a trial of the search is not scored"
    for one in given[:4]:
        assert one.split is not None
        alone = Training(one.config, redeal(data, one.split), seed=one.seed)
        alone.advance(EPOCHS)
        assert told[one.key] == alone.evaluate("train")
        assert alone.best is not None
        assert told[one.key]["loss"] != alone.best.train_loss, "that is with dropout, on the way"


@pytest.mark.parametrize("stored", [True, False])
def test_a_chosen_candidate_is_scored_with_its_best_weights_wherever_it_is_read(
    stored: bool, make_data: Any, tmp_path: Path
) -> None:
    data, candidate = make_data(), replace(work(0), split=Split("nested", 5))
    (ended,) = [r for r in finish(pack(tmp_path, data, None, candidate)) if r.checkpoint][-1:]
    assert ended.test is None
    kept = [ended.checkpoint] if stored and ended.checkpoint else []
    chosen = replace(candidate, generation=2, test=True, checkpoints=kept)
    *_, scored = reports = finish(pack(tmp_path, data, None, chosen))
    assert (len(reports) == 1 and not scored.epochs) == stored, "what was lost is trained again"
    wanted = Training(candidate.config, redeal(data, Split("nested", 5)), seed=candidate.seed)
    wanted.advance(EPOCHS)
    assert scored.test == wanted.evaluate("test")
    assert scored.training == wanted.evaluate("train")


def test_cohorts_take_turns(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", 0.0)
    made = pack(tmp_path, make_data(), 2, *(work(n, hidden_size=6 + n) for n in range(3)))
    turns = [[report.key[-1] for report in made.advance()] for _ in range(9)]
    assert turns[:3] == [[], [], []], "limits are found first"
    assert turns[3:] == [["0"], ["1"], ["2"], ["0"], ["1"], ["2"]]


def test_each_trial_reports_at_its_own_rungs_and_at_no_other_epoch(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", math.inf)
    given = [work(0, rungs=[1, 3]), work(1, rungs=[2]), work(2)]
    reports = finish(pack(tmp_path, make_data(), 4, *given))
    ends = {key: [r.epochs[-1].epoch for r in reports if r.key == key] for key in curves(reports)}
    assert ends == {"search/gru/0": [1, 3, 4], "search/gru/1": [2, 4], "search/gru/2": [4]}


def test_trials_come_and_go_while_others_train(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", 0.0)
    data, given = make_data(), [work(n) for n in range(4)]
    made = pack(tmp_path, data, 3, given[0])
    assert made.room == 0, "what was not measured may take up everything"
    made.advance()
    assert made.room == 2
    reports = made.advance()
    made.add(given[1:3])
    assert made.room == 0
    reports += made.advance()
    made.drop(["search/gru/1", "search/gru/9"])
    assert made.room == 1
    made.add(given[3:])
    reports += finish(made)
    assert made.room == 1
    expected = alone(tmp_path, data, *given)
    expected["search/gru/1"] = expected["search/gru/1"][:1]
    assert curves(reports) == expected


def test_a_trial_that_is_given_again_begins_from_its_checkpoint(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", 0.0)
    data = make_data()
    made = pack(tmp_path, data, None, work(0))
    (first,) = made.advance()
    made.drop([first.key])
    assert first.checkpoint is not None
    made.add([replace(work(0), checkpoints=[first.checkpoint])])
    assert curves([first, *finish(made)]) == alone(tmp_path, data, work(0))


def test_seconds_of_all_trials_are_no_more_than_the_time_that_passed(
    make_data: Any, tmp_path: Path
) -> None:
    given = [work(n, hidden_size=6 + n % 2, max_epochs=20) for n in range(6)]
    began = time.perf_counter()
    reports = finish(pack(tmp_path, make_data(), 4, *given))
    wall = time.perf_counter() - began
    seconds = sum(point.seconds for report in reports for point in report.epochs)
    assert 0 < seconds <= wall


def test_latencies_are_measured_before_anything_of_their_trials_is_trained(
    make_data: Any, tmp_path: Path
) -> None:
    made = pack(tmp_path, make_data(), 4, work(0), *(work(n, measure_latency=True) for n in (1, 2)))
    first, second = made.advance(), made.advance()
    assert [report.key for report in first + second] == ["search/gru/1", "search/gru/2"]
    assert all(report.latency_ms and not report.epochs for report in first + second)
    made.drop(["search/gru/2"])
    assert all(report.latency_ms is None for report in finish(made))


def short_of_memory(most: int, from_call: int = 0) -> Callable[..., Any]:
    """Return a training step that torch refuses memory for where too many take it at once."""
    take, calls = step.update, [0]

    def update(learners: Sequence[step.Learner], losses: Any) -> list[float]:
        calls[0] += 1
        found = take(learners, losses)  # weights have moved: what follows must begin again
        if len(learners) > most and calls[0] > from_call:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore.")
        return found

    return update


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_a_cohort_that_is_short_of_memory_is_halved_and_no_trial_fails(
    most: int,
    make_data: Any,
    tmp_path: Path,
    together: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory ends in the middle of the third epoch; there are checkpoints of the first two."""
    data, given = make_data(), [work(n) for n in range(6)]
    expected = alone(tmp_path, data, *given)
    together.clear()
    monkeypatch.setattr(packs, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(step, "update", short_of_memory(most, from_call=10))
    made = pack(tmp_path, data, 8, *given)
    reports = finish(made)
    assert not [report.failure for report in reports if report.failure]
    assert curves(reports) == expected
    sizes = {len(members) for members in together}
    assert max(sizes - {6}) <= 3, "never again as many"


def test_a_trial_without_memory_for_itself_alone_fails_and_no_other_does(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data()
    large, rest = work(0, hidden_size=9), [work(n) for n in (1, 2)]
    expected = alone(tmp_path, data, *rest)
    build = Cohort.epoch

    def epoch(self: Cohort) -> Any:
        if self.members[0].config.hidden_size == 9:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore.")
        yield from build(self)

    monkeypatch.setattr(Cohort, "epoch", epoch)
    reports = finish(pack(tmp_path, data, 8, large, *rest))
    (failed,) = (report for report in reports if report.failure)
    assert failed.key == large.key and failed.failure is not None
    assert failed.failure.startswith("one training step of this trial, alone on its device")
    assert failed.failure.endswith("(torch: CUDA out of memory. Tried to allocate 20 GiB.)")
    assert curves(reports) == expected


def test_an_exception_fails_the_trial_at_fault_and_no_other(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, given = make_data(), [work(n) for n in range(4)]
    expected = alone(tmp_path, data, *given)
    del expected["search/gru/2"]
    take = step.update

    def update(learners: Sequence[Any], losses: Any) -> list[float]:
        if any(learner.seed == 2 for learner in learners):
            raise ValueError("out of luck")
        return take(learners, losses)

    monkeypatch.setattr(step, "update", update)
    reports = finish(pack(tmp_path, data, 8, *given))
    (failed,) = (report for report in reports if report.failure)
    assert failed.key == "search/gru/2" and "ValueError: out of luck" in str(failed.failure)
    assert curves(reports) == expected


def test_other_errors_of_the_runtime_are_raised(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def update(learners: Any, losses: Any) -> list[float]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(step, "update", update)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        finish(pack(tmp_path, make_data(), 2, work(0), work(1)))


class AwayStore(LocalStore):
    """Is away the first times that something is to be written."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self.times = times

    def writing(self, name: str) -> AbstractContextManager[Path]:
        if self.times:
            self.times -= 1
            raise StoreAwayError("waiting for s3://bucket: no answer (5 of 120 s)")
        return super().writing(name)


def test_a_store_that_is_away_for_a_while_costs_no_trial_and_no_report(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "SLICE_SECONDS", math.inf)
    data, given = make_data(), [work(n, rungs=[2]) for n in range(2)]
    made = Pack(data, AwayStore(tmp_path, 3), "cpu")
    made.add(given)
    waits = []
    reports: list[TrialReport] = []
    while len(made):
        reports += made.advance()
        waits.append(made.waits)
    assert [wait is not None for wait in waits[:3]] == [True] * 3 and waits[-1] is None
    assert curves(reports) == alone(tmp_path, data, *given)
    assert all(report.halt is None for report in reports)

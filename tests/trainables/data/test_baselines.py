"""What is reached without a model: counted by hand here, and scored as trainings are."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spaces.kinds import METRICS
from spaces.own_task import OwnData
from spaces.tasks import Adding, Characters, JapaneseVowels, TaskInfo
from trainables.data.baselines import BASELINES, baselines
from trainables.data.batches import Batch, Batches
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load
from trainables.training.metrics import SCORES, Totals


def own(folder: Path, kind: Any, seed: int = 0) -> Data:
    """Data of a kind: 40 ragged sequences, some of them of one step where a kind allows it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2 if kind.startswith("next") else 1, 9, size=40)
    steps = int(lengths.sum())
    arrays: dict[str, Any] = {"x": rng.normal(size=(steps, 3)), "lengths": lengths}
    if kind == "classification":
        arrays["y"] = np.sort(np.arange(40) % 5 % 4)  # class 0 is the commonest
    elif kind == "regression":
        arrays["y"] = rng.normal(3, 2, size=40)
    elif kind == "tagging":
        arrays["y"] = np.arange(steps) % 3
    elif kind == "forecasting":
        arrays = {"x": rng.normal(size=(90, 1)), "lengths": [90]}
    elif kind == "multi-label":
        arrays["y"] = rng.integers(0, 2, (40, 3))
    elif kind == "next-token":
        arrays["x"] = (np.cumsum(rng.integers(0, 2, size=steps)) + rng.integers(0, 2)) % 7
    else:
        arrays["x"] = (rng.random((steps, 3)) < [0.1, 0.5, 0.9]).astype(np.uint8)
    np.savez(folder / "own.npz", **arrays)
    horizon = 2 if kind == "forecasting" else None
    return load(OwnData(kind=kind, data="own.npz", horizon=horizon), folder)


def scored(data: Data, part: Sequences, answer: Any) -> dict[str, float]:
    """The metrics of a model that gives `answer(batch)`, scored as trainings are."""
    totals = Totals(data.info)
    for batch in Batches(part, data.info.kind).ordered():
        totals.add(SCORES[data.info.kind](torch.tensor(answer(batch)), batch))
    return totals.metrics()


def pairs(part: Sequences) -> list[tuple[Any, Any]]:
    """All pairs of neighbouring steps within sequences, one by one."""
    found = []
    for start, length in zip(part.starts, part.lengths, strict=True):
        steps = list(part.steps(np.arange(start, start + length)))
        found += list(pairwise(steps))
    return found


def shares(outcomes: list[int], number: int) -> NDArray[np.float64]:
    """Shares with half a case more for each outcome."""
    counts = Counter(int(outcome) for outcome in outcomes)
    whole = len(outcomes) + number / 2
    return np.array([(counts[outcome] + 0.5) / whole for outcome in range(number)])


def check(data: Data, name: str, answer: Any) -> None:
    """Hold that a baseline's metrics are those of a model that gives these answers."""
    (found,) = (each for each in baselines(data) if each.name == name)
    for got, part in ((found.validation, data.validation), (found.test, data.test)):
        wanted = scored(data, part, answer)
        assert list(got) == [metric.name for metric in data.info.metrics]
        assert got == pytest.approx(wanted, rel=1e-5)


def test_the_majority_class_is_a_model_that_answers_the_shares_of_training(tmp_path: Path) -> None:
    data = own(tmp_path, "classification")
    assert data.train.y is not None
    logits = np.log(shares(data.train.y.tolist(), data.info.outputs))
    check(data, "majority", lambda batch: np.tile(logits, (len(batch.lengths), 1)))


def test_the_mean_of_the_targets_is_that_of_the_training_part(tmp_path: Path) -> None:
    data = own(tmp_path, "regression")
    (found,) = baselines(data)
    for got, part in ((found.validation, data.validation), (found.test, data.test)):
        assert data.train.y is not None and part.y is not None
        wanted = np.mean((part.y.astype(float) - data.train.y.astype(float).mean()) ** 2)
        assert got["mse"] == pytest.approx(wanted, rel=1e-6)


def test_the_unigram_is_a_model_that_answers_the_shares_of_training(tmp_path: Path) -> None:
    data = own(tmp_path, "next-token")
    logits = np.log(shares([after for _, after in pairs(data.train)], data.info.outputs))
    check(data, "unigram", lambda batch: np.broadcast_to(logits, (*batch.x.shape, len(logits))))


def test_the_bigram_is_a_model_that_knows_the_symbol_before(tmp_path: Path) -> None:
    data = own(tmp_path, "next-token")
    symbols = data.info.outputs
    seen = [(int(before), int(after)) for before, after in pairs(data.train)]
    prior = shares([after for _, after in seen], symbols)
    table = np.empty((symbols, symbols))
    for symbol in range(symbols):
        followers = Counter(after for before, after in seen if before == symbol)
        counts = np.array([followers[after] for after in range(symbols)])
        table[symbol] = np.log((counts + prior) / (counts.sum() + 1))
    check(data, "bigram", lambda batch: table[batch.x.numpy()])
    unigram, bigram = baselines(data)
    assert bigram.test["bits-per-token"] < unigram.test["bits-per-token"]


def logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p) - np.log1p(-p)


def test_label_rates_are_a_model_that_answers_the_rates_of_training(tmp_path: Path) -> None:
    data = own(tmp_path, "next-step")
    frames = np.array([after for _, after in pairs(data.train)], np.float64)
    logits = logit((frames.sum(0) + 0.5) / (len(frames) + 1))
    check(data, "label-rates", lambda batch: np.broadcast_to(logits, batch.x.shape))


def test_the_last_frame_is_a_model_that_knows_what_was_on(tmp_path: Path) -> None:
    data = own(tmp_path, "next-step")
    on, times = np.zeros((2, 3)), np.zeros((2, 3))
    for before, after in pairs(data.train):
        for label in range(3):
            times[int(before[label]), label] += 1
            on[int(before[label]), label] += after[label]
    table = logit((on + 0.5) / (times + 1))

    def answer(batch: Batch) -> NDArray[np.float64]:
        return np.where(batch.x.numpy() == 1, table[1], table[0])

    check(data, "last-frame", answer)


def test_what_never_occurred_in_training_has_a_finite_loss() -> None:
    def part(symbols: list[int]) -> Sequences:
        return Sequences(np.array(symbols), np.array([len(symbols)]))

    metric = METRICS["next-token"][0]
    info = TaskInfo("text", "next-token", inputs=4, outputs=4, longest=4, metric=metric)
    data = Data(info, part([0, 1, 0, 1]), part([3, 2, 3]), part([2, 1]))
    for found in baselines(data):
        assert all(math.isfinite(value) for value in (found.validation | found.test).values())
        assert found.validation["accuracy"] == 0


@pytest.mark.parametrize("kind", BASELINES)
def test_every_kind_of_task_has_a_baseline_in_all_its_metrics(kind: str, tmp_path: Path) -> None:
    data = own(tmp_path, kind)
    found = baselines(data)
    assert found
    for each in found:
        assert each.validation.keys() == each.test.keys() == {m.name for m in data.info.metrics}
    assert set(BASELINES) == set(METRICS)


def test_baselines_of_built_in_tasks_are_the_known_ones() -> None:
    (vowels,) = baselines(load(JapaneseVowels(name="japanese-vowels"), Path()))
    assert vowels.validation["accuracy"] == pytest.approx(1 / 9)
    (adding,) = baselines(load(Adding(name="adding"), Path()))
    assert adding.test["mse"] == pytest.approx(1 / 6, rel=0.2)  # the README says 0.167
    text = load(Characters(name="characters", window=50, limit=30_000), Path())
    unigram, bigram = (each.test["bits-per-token"] for each in baselines(text))
    assert bigram < 4 < unigram < 5  # of English prose with capitals and punctuation


def test_a_dealing_has_the_baselines_of_its_own_training_part(tmp_path: Path) -> None:
    data = own(tmp_path, "regression")
    dealt = redeal(data, Split("nested", 5))
    apart = Data(dealt.info, *(_copied(part) for part in dealt.parts))
    assert baselines(dealt) == baselines(apart) != baselines(data)


def _copied(part: Sequences) -> Sequences:
    """Return a part whose values are its own, raw as the part's are."""
    return replace(part, x=part.unscaled()[:], at=None)


def test_sizes_are_those_of_the_parts_that_another_split_shares(tmp_path: Path) -> None:
    """Design nested allows for the overlap by them; data that is drawn anew shares nothing."""
    dealt = own(tmp_path, "regression")
    learned = len(dealt.train) + len(dealt.validation)
    for found in baselines(dealt):
        assert (found.test_sequences, found.search_sequences) == (len(dealt.test), learned)
    drawn = load(Adding(name="adding", length=5, examples=50), tmp_path)
    assert {found.search_sequences for found in baselines(drawn)} == {None}

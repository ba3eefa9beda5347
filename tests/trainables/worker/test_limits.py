"""How many trials train together: probes of real cohorts, with a meter that tests read for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import small_config

from spaces.config import TrialConfig
from trainables.training import batching
from trainables.training.cohort import Cohort
from trainables.worker import limits
from trainables.worker.limits import limit_finder, probe

MIB = 2**20


class TestMeter:
    """Counts members: 10 MiB each, and a time that stands still up to `gains` of them."""

    __test__ = False

    def __init__(self, *, free_mib: float = 1e6, gains: int = 8, name: str = "a card") -> None:
        self.name = name
        self._free, self._gains = free_mib, gains
        self.sizes: list[int] = []  #: of the cohorts that were measured

    def free_bytes(self) -> int:
        return int(self._free * MIB)

    def reset(self) -> None:
        self._began = True

    def peak_bytes(self) -> int:
        return 10 * MIB * self.sizes[-1]

    def seconds(self, run: Callable[[], object]) -> float:
        found: Any = run()
        assert all(points for points in found), "every member trains what is measured"
        if not self.sizes or self.sizes[-1] != len(found):
            self.sizes.append(len(found))
        return max(1.0, len(found) / self._gains)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp_path / "cache"))


def test_cohorts_are_measured_until_they_gain_no_more(make_data: Any) -> None:
    meter = TestMeter(gains=4)
    assert probe(small_config(), make_data(), "cpu", meter) == 4
    assert meter.sizes == [1, 2, 4, 8]


def test_no_cohort_is_made_that_would_not_fit_into_free_memory(make_data: Any) -> None:
    meter = TestMeter(free_mib=60 / limits.SHARE)
    assert probe(small_config(), make_data(), "cpu", meter) == 6
    assert meter.sizes == [1, 2, 4]


def test_what_was_measured_is_kept_by_shape_card_and_versions(
    make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(config: TrialConfig, **options: Any) -> list[int]:
        meter = TestMeter(gains=2, **options)
        assert probe(config, make_data(), "cpu", meter) == 2
        return meter.sizes

    one = small_config()
    assert measured(one) == [1, 2, 4]
    assert measured(one.model_copy(update={"learning_rate": 0.5})) == []
    assert measured(one.model_copy(update={"hidden_size": 7})) == [1, 2, 4]
    assert measured(one, name="another card") == [1, 2, 4]
    monkeypatch.setattr(limits, "version", lambda name: "0.0")
    assert measured(one) == [1, 2, 4]


def test_stored_measurements_go_on_where_more_memory_is_free(make_data: Any) -> None:
    first, second = TestMeter(free_mib=25 / limits.SHARE), TestMeter(gains=4)
    assert probe(small_config(), make_data(), "cpu", first) == 2
    assert probe(small_config(), make_data(), "cpu", second) == 4
    assert (first.sizes, second.sizes) == ([1, 2], [4, 8])


@pytest.mark.parametrize(("from_members", "limit"), [(1, 1), (2, 1), (8, 4)])
def test_a_probe_that_runs_out_of_memory_stays_below_it(
    from_members: int, limit: int, make_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Cohort.advance

    def short(self: Cohort, *arguments: Any) -> Any:
        if len(self.members) >= from_members:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return advance(self, *arguments)

    monkeypatch.setattr(Cohort, "advance", short)
    assert probe(small_config(), make_data(), "cpu", TestMeter()) == limit


@pytest.mark.parametrize("kind", ["classification", "regression", "next-token", "next-step"])
def test_a_probe_trains_the_longest_sequences_of_every_kind_of_task(
    kind: str, make_data: Any
) -> None:
    data = make_data(kind, count=200)
    part = limits._longest_part(data, batch_size=7)
    assert len(part.train) == 7 * limits.UPDATES
    assert part.train.lengths.min() >= sorted(data.train.lengths)[-len(part.train)]
    assert part.train.x.shape[1:] == data.train.x.shape[1:]
    for n in (0, 5, 55):
        assert any(
            (part.train.x[s : s + k] == data.train.x[t : t + k]).all()
            for s, k in [(part.train.starts[n], part.train.lengths[n])]
            for t, m in zip(data.train.starts, data.train.lengths, strict=True)
            if m == k
        )
    assert probe(small_config(batch_size=7), data, "cpu", TestMeter(gains=2)) == 2


#: (cell, gates), batch size -> the limit on a CPU
ON_CPU = [
    ("gru", "reset-after", 7, batching.MAX_MEMBERS),
    ("gru", "light", 7, 1),
    ("transformer", "encoder", 7, 1),
    ("gru", "reset-after", 100_000, 1),
]


@pytest.mark.parametrize(("cell", "gates", "batch_size", "limit"), ON_CPU)
def test_a_cpu_has_its_limits_from_a_table(
    cell: str, gates: str, batch_size: int, limit: int, make_data: Any
) -> None:
    config = small_config(cell, gates, batch_size=batch_size)
    assert limit_finder(make_data(), "cpu")(config) == limit

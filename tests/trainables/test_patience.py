"""Stores that are away are waited for, everywhere as long, and the wait is shown."""

import inspect
import time
from collections.abc import Callable

import pytest

from search.journal.postgres import PostgresJournal
from trainables.checkpoints.open import open_store
from trainables.checkpoints.s3 import S3Store
from trainables.patience import (
    GAP,
    PATIENCE,
    AwakeClock,
    Patience,
    StillAwayError,
    show_wait,
    waits,
)


def said(error: Exception) -> str | None:
    return f"the store: {error}" if isinstance(error, ConnectionError) else None


def away(times: int, seen: list[list[str]] | None = None) -> Callable[[], str]:
    """Return an act that fails so many times."""
    left = iter(range(times))

    def act() -> str:
        if seen is not None:
            seen.append(waits())
        for _ in left:
            raise ConnectionError("no answer")
        return "done"

    return act


def test_a_store_that_comes_back_is_used_and_the_wait_was_shown() -> None:
    seen: list[list[str]] = []
    assert Patience(100)(away(2, seen), said) == "done"
    assert seen == [[], *[["waiting for the store: no answer (0 of 100 s)"]] * 2]
    assert waits() == []


def test_what_waiting_does_not_mend_is_raised_at_once() -> None:
    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        Patience(100)(refuse, said)


def test_a_turn_ends_before_the_patience_does() -> None:
    patience = Patience(100, turn=0)
    act = away(2)
    for _ in range(2):
        with pytest.raises(StillAwayError, match=r"waiting for the store: no answer \(0 of 100 s"):
            patience(act, said)
    assert patience(act, said) == "done"


def test_the_patience_counts_from_when_the_store_was_there_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    patience = Patience(100, turn=0)
    act = away(10)
    for later in (0.0, 50.0, 99.0):
        now = later
        with pytest.raises(StillAwayError):
            patience(act, said)
    now = 101.0
    with pytest.raises(ConnectionError):
        patience(act, said)


def test_a_sleeping_machine_counts_little(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = AwakeClock()
    now += 5
    assert clock.seconds() == 5
    now += 7200
    assert clock.seconds() == 5 + GAP


@pytest.mark.parametrize("opener", [S3Store.__init__, open_store, PostgresJournal.__init__])
def test_every_store_has_the_same_patience(opener: Callable[..., object]) -> None:
    assert inspect.signature(opener).parameters["patience"].default == PATIENCE >= 120


def test_a_wait_of_many_is_told_once() -> None:
    for who in range(3):
        show_wait(who, "waiting for the store")
    try:
        assert waits() == ["waiting for the store"]
    finally:
        for who in range(3):
            show_wait(who, None)

"""Optuna's journal storage in the job's journal."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from search.journal.base import BaseJournal, Group
from search.study.optuna_compat import OPERATION


class ReadOnlyBackend(BaseJournalBackend):
    """Optuna's operations that a journal holds, for who adds none."""

    def __init__(self, groups: Sequence[Group]) -> None:
        """groups: what the journal holds."""
        self._unread: deque[dict[str, Any]] = deque(
            record for group in groups for record in group if OPERATION in record
        )
        self._first = 0  # the number of the first unread record

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records from a number on. Optuna never asks again for those before it."""
        while self._unread and self._first < log_number_from:
            self._unread.popleft()
            self._first += 1
        return list(islice(self._unread, max(0, log_number_from - self._first), None))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse. Raises PermissionError."""
        raise PermissionError("the studies of a journal that is only read take no operations")


class JournalBackend(ReadOnlyBackend):
    """Optuna's operations as records of the job journal; they reach the disk with its commit."""

    def __init__(self, journal: BaseJournal, groups: Sequence[Group]) -> None:
        """groups: what the journal held when it was opened."""
        super().__init__(groups)
        self._journal = journal

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records to the journal's current group."""
        self._journal.append(*logs)
        self._unread.extend(logs)

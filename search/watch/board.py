"""What the live page shows: items by name, each with the number of its latest change."""

import secrets
import threading
from collections.abc import Mapping
from typing import Any

GONE = 500  #: items that were removed, and are remembered as such


class Board:
    """Items of plain JSON types. Threads may change and read it at once."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(4)  #: numbers of another board mean nothing here
        self._changed = threading.Condition()
        self._number = 0
        self.ended = False  #: whether nothing will change any more
        self._items: dict[str, tuple[int, Any]] = {}
        self._gone: dict[str, int] = {}
        self._oldest = 0  # who has not seen this number may not know of all that is gone

    def put(self, items: Mapping[str, Any], whole: str = "") -> None:
        """Take in items. whole: the beginning of names of which these are all that there are."""
        with self._changed:
            new = {
                name: value
                for name, value in items.items()
                if name not in self._items or self._items[name][1] != value
            }
            left = [
                name
                for name in self._items
                if whole and name.startswith(whole) and name not in items
            ]
            if not new and not left:
                return
            self._number += 1
            for name, value in new.items():
                self._items[name] = self._number, value
                self._gone.pop(name, None)
            for name in left:
                del self._items[name]
                self._gone[name] = self._number
            while len(self._gone) > GONE:
                first = next(iter(self._gone))
                self._oldest = max(self._oldest, self._gone.pop(first))
            self._changed.notify_all()

    def since(self, number: int) -> tuple[int, dict[str, Any] | None, list[str]]:
        """Return the number now, the items that changed after `number`, and names that are gone.

        The items are None where too much is gone since: ask again from 0, and forget all.
        """
        with self._changed:
            if 0 < number < self._oldest or number > self._number:
                return self._number, None, []
            items = {name: value for name, (at, value) in self._items.items() if at > number}
            gone = [name for name, at in self._gone.items() if at > number] if number else []
            return self._number, items, gone

    def wait(self, number: int, seconds: float) -> bool:
        """Wait until something has changed after `number`; return whether it has."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self.ended, seconds)
            return self._number > number

    def end(self) -> None:
        """Wake all who wait: nothing will change any more."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

"""The table of journals that tests/search/journal/test_journal.py runs its claims over."""

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from servers import Postgres

from search.journal.base import BaseJournal, BaseReader, Group, encode
from search.journal.file import FileJournal, FileReader
from search.journal.postgres import PostgresJournal, PostgresReader


class Kept(Protocol):
    """One job's journal, and what may befall it."""

    @property
    def opening(self) -> str:
        """Python source that opens the journal for writing as `journal`."""

    def open(self) -> BaseJournal: ...

    def reader(self) -> BaseReader: ...

    def intrude(self, group: Group) -> None:
        """Add a group behind the writer's back."""

    def damage(self, number: int) -> None:
        """Change the group of this number, counted from 0."""

    def full(self) -> AbstractContextManager[None]:
        """Let the storage take no more."""


@dataclass
class InFile:
    """In a file of a folder."""

    path: Path

    @property
    def opening(self) -> str:
        return (
            "from pathlib import Path; from search.journal.file import FileJournal\n"
            f"journal = FileJournal(Path({str(self.path)!r}))\n"
        )

    def open(self) -> BaseJournal:
        return FileJournal(self.path)

    def reader(self) -> BaseReader:
        return FileReader(self.path)

    def intrude(self, group: Group) -> None:
        with self.path.open("ab") as other:  # as on a file system without locks
            other.write(encode(group))

    def damage(self, number: int) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        lines[number] = lines[number].replace(b"record", b"rekord")
        self.path.write_bytes(b"".join(lines))

    @contextmanager
    def full(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.path.stat().st_size + 10, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass
class InPostgres:
    """In a database of its own on a real server."""

    server: Postgres
    url: str
    job: str = "vowels"
    patience: float = 100.0  # that only a hang reaches

    @property
    def opening(self) -> str:
        return (
            "from search.journal.postgres import PostgresJournal\n"
            f"journal = PostgresJournal({self.url!r}, {self.job!r})\n"
        )

    def open(self) -> PostgresJournal:
        return PostgresJournal(self.url, self.job, patience=self.patience)

    def reader(self) -> PostgresReader:
        return PostgresReader(self.url, self.job)

    def intrude(self, group: Group) -> None:
        line = encode(group).decode().rstrip("\n").replace("'", "''")
        self.run(
            "INSERT INTO gatesearch_journal SELECT job, max(number) + 1, 'another', "
            f"'{line}' FROM gatesearch_journal WHERE job = '{self.job}' GROUP BY job"
        )

    def damage(self, number: int) -> None:
        self.run(
            "UPDATE gatesearch_journal SET line = replace(line, 'record', 'rekord')"
            f" WHERE job = '{self.job}' AND number = {number + 1}"
        )

    @contextmanager
    def full(self) -> Iterator[None]:
        """Have the server say what it says when its disk is full."""
        self.on_insert("RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'")
        try:
            yield
        finally:
            self.run("DROP TRIGGER gate ON gatesearch_journal")

    def on_insert(self, statement: str) -> None:
        """Have the server do something before each insert."""
        self.run(
            "CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql"
            f" AS $$ BEGIN {statement}; RETURN NEW; END $$",
            "CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON gatesearch_journal"
            " FOR EACH ROW EXECUTE FUNCTION gate()",
        )

    def run(self, *statements: str) -> list[Any]:
        return self.server.run(self.url, *statements)

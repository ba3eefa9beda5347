"""Own data from a folder of files, each one sequence: tables of one form, or sounds.

    recordings/a.csv, recordings/b.csv          or
    recordings/CLASS/a.wav, recordings/CLASS/b.wav, …

Sequences come in the order of their paths. Their ids are these paths; the folder in which a file
lies is its class, unless a column of the tables is the target.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, is_causal
from spaces.own_data import FILE, FOLDER, TABLES, DataSection, OneOrMore
from spaces.tasks import TaskInfo
from spaces.text import listed, named
from trainables.data.formats import csv_table, long_form, parquet_table, wav
from trainables.data.formats.labels import encode
from trainables.data.formats.on_demand import open_table
from trainables.data.formats.ragged import Array, Part, Ragged, sequence_of
from trainables.data.formats.table import (
    BY_HAND,
    FEWER,
    VALUE_BYTES,
    ArrowSource,
    Source,
    Table,
    check_names,
    check_size,
    reading,
    table_of,
)
from trainables.data.memory import refuse_unless_it_fits

MOST_FILES = 200_000
_ENDINGS = (*TABLES, ".wav")


@dataclass(frozen=True)
class SoundPlaces:
    """Places by file: "sounds/dog/a.wav: band 3 at 0.48 s"."""

    folder: str
    files: Sequence[str] = field(repr=False)
    lengths: NDArray[np.int64] = field(repr=False)

    def whole(self, part: Part) -> str:
        """Return the folder's place."""
        return self.folder

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a file."""
        return f"{self.folder}/{self.files[sequence]}"

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        sequence, within = sequence_of(self.lengths, at)
        return f"{self.of('x', sequence)}: band {feature or 0} at {within * wav.SECONDS:.2f} s"


def read(path: Path, data: DataSection, kind: TaskKind) -> Ragged:
    """Return the data of a folder for a task of a kind. Raises InputError."""
    files, ending = _files(path, data.file)
    if data.target is None and not is_causal(kind) and not _folders(files).any():
        rule = "files must lie in folders, one for each class, or target must name a column"
        raise InputError.of(data.file, rule, "move the files of a class into a folder of its name")
    if ending != ".wav":
        return long_form.read(path, data, kind, Reader(files, ending))
    given = [role for role, name in data.columns.items() if name is not None]
    if given:
        rule = f"{given[0]} must be a column of tables; the folder holds sounds, which have none"
        raise InputError.of(data.file, rule, f"remove {given[0]}")
    found = _sounds(path, data.file, files)
    if kind != "classification":
        rule = f"a folder of .wav is for classification by folder, not for {kind}"
        raise InputError.of(data.file, rule, "choose kind: classification")
    y, labels = encode(_folders(files))
    return replace(found, y=y, labels=labels)


def read_new(path: Path, info: TaskInfo) -> Ragged:
    """Return sequences that a model is to be given; y as folders say. Raises InputError."""
    files, ending = _files(path, path.name)
    if ending != ".wav":
        return long_form.read_new(path, info, Reader(files, ending))
    folders = _folders(files)
    return replace(_sounds(path, path.name, files), y=folders if folders.any() else None)


def holds_sounds(path: Path) -> bool:
    """Return whether a folder holds sounds and no tables. Raises InputError where neither."""
    return _files(path, path.name)[1] == ".wav"


def read_table(path: Path) -> tuple[Table, dict[str, OneOrMore]]:
    """Return all columns of a folder of tables, and by role those whose part is known.

    Raises InputError.
    """
    files, ending = _files(path, path.name)
    reader = Reader(files, ending)
    names = reader.names(path, path.name)
    source = reader.open_source(path, path.name, names, at_once=False)
    table = open_table(source, path.name, names)
    several = len(set(_folders(files).tolist())) > 1
    return table, {"id": FILE, **({"target": FOLDER} if several else {})}


def read_any(path: Path) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return x, and y where sounds lie in folders, and the lengths. Raises InputError."""
    files, _ = _files(path, path.name)
    found, folders = _sounds(path, path.name, files), _folders(files)
    return {"x": found.x, **({"y": folders} if folders.any() else {})}, found.lengths


@dataclass(frozen=True)
class Reader:
    """Reads the tables of a folder as one, with a column for the file and one for its folder."""

    files: Sequence[str]
    ending: str

    def names(self, path: Path, place: str) -> list[str]:
        """Return the names of the columns, which all files have. Raises InputError."""
        module = csv_table if self.ending == ".csv" else parquet_table
        first = f"{place}/{self.files[0]}"
        found = module.names(path / self.files[0], first)
        for name in (FILE, FOLDER):
            if name in found:
                rule = f"a column must not be called {name}: the file of a row is called so"
                raise InputError.of(first, rule, "rename it")
        folders = [FOLDER] if _folders(self.files).any() else []
        return [FILE, *folders, *found]

    def read(self, path: Path, place: str, columns: Sequence[str]) -> Table:
        """Return some columns of all files. Raises InputError."""
        return table_of(self.open_source(path, place, columns), place, columns)

    def open_source(
        self, path: Path, place: str, columns: Sequence[str], *, at_once: bool = True
    ) -> Source:
        """Return some columns of all files, to be read piece by piece. Raises InputError.

        All of them are in memory. at_once: whether each is there because somebody named it.
        """
        import pyarrow as pa

        remedy = FEWER if at_once else BY_HAND
        module = csv_table if self.ending == ".csv" else parquet_table
        own = [name for name in columns if name not in (FILE, FOLDER)]
        check_names(self.names(path, place), columns, place)
        tables, begins, rows = [], [], 0
        for file in self.files:
            table = module.read_arrow(path / file, f"{place}/{file}", own)
            if table.num_rows == 0:
                rule = "a file must hold a sequence; this one has no rows"
                raise InputError.of(f"{place}/{file}", rule, "remove it, or write it again")
            begins.append(rows)
            rows += table.num_rows
            check_size(rows, VALUE_BYTES * len(columns), place, remedy)
            tables.append(table)
        joined = reading(place, lambda: pa.concat_tables(tables, promote_options="permissive"))
        lengths = np.diff([*begins, rows])
        further = {FILE: np.array(self.files), FOLDER: _folders(self.files)}
        for name in columns:
            if name in further:
                codes = pa.array(np.repeat(np.arange(len(lengths)), lengths))
                texts = pa.array(further[name].tolist(), pa.string())
                joined = joined.append_column(name, pa.DictionaryArray.from_arrays(codes, texts))
        source = ArrowSource(joined, place, self.files, begins)
        if self.ending == ".csv":
            csv_table.check_lines(source, place, columns)
        return source


def _files(path: Path, place: str) -> tuple[list[str], str]:
    """Return the paths of a folder's files, sorted, and the ending that they share."""
    try:
        if not path.is_dir():
            rule = f"the data must be a file with an ending, or a folder; {path} is neither"
            raise InputError.of(place, rule, "correct the path; it starts at the job file's folder")
        found = [*path.glob("*"), *path.glob("*/*")]
        files = sorted(
            file.relative_to(path).as_posix()
            for file in islice(found, MOST_FILES)
            if file.is_file() and not file.name.startswith(".")
        )
    except OSError as error:
        rule = f"the folder must be readable ({error.strerror or error})"
        raise InputError.of(place, rule, "check its permissions") from error
    if not files:
        rule = f"the folder must hold files in {listed(_ENDINGS, 'or')}; it holds none"
        raise InputError.of(place, rule, "put one file for each sequence into it")
    if len(found) > MOST_FILES:
        rule = f"a folder must hold at most {MOST_FILES} files"
        raise InputError.of(place, rule, "write them as one table with a column of ids")
    counts = Counter(Path(file).suffix.lower() for file in files)
    ending = counts.most_common(1)[0][0]
    odd = next((file for file in files if Path(file).suffix.lower() != ending), None)
    if ending not in _ENDINGS or odd is not None:
        shown = files[0] if ending not in _ENDINGS else odd
        raise InputError.of(
            f"{place}/{named(shown or '')}",
            f"all files of a folder must be of one ending: {listed(_ENDINGS, 'or')}",
            "move other files elsewhere",
        )
    return files, ending


def _folders(files: Sequence[str]) -> Array:
    """Return the folder of each file; an empty text for one that lies in the data's own."""
    return np.array([file.rpartition("/")[0] for file in files], dtype=np.str_)


def _sounds(path: Path, place: str, files: Sequence[str]) -> Ragged:
    sizes = [(path / file).stat().st_size for file in files]
    # Of a byte, at least 16 of which become one step of 24 bands; and of one while it is read.
    refuse_unless_it_fits(6 * sum(sizes) + 60 * max(sizes), place, "use fewer or shorter sounds")
    pieces, rates = [], []
    for file in files:
        bands, rate = wav.read(path / file, f"{place}/{file}")
        pieces.append(bands)
        rates.append(rate)
        if rate != rates[0]:
            rule = f"all sounds must have one sampling rate; {rate} Hz here, {rates[0]} Hz before"
            raise InputError.of(f"{place}/{file}", rule, "resample them to one rate")
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    places = SoundPlaces(place, files, lengths)
    return Ragged(np.concatenate(pieces), lengths, places, ids=np.array(files, dtype=np.str_))

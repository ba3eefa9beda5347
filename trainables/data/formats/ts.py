"""Own data from a .ts file, as the UEA and UCR archives have them: one line a sequence.

    @classLabel true a b            or @targetLabel true, or neither
    @data
    0.5,0.7,0.1:1,2,1:a             dimensions between colons, steps between commas, the label last

Sequences may have different lengths, dimensions of one sequence may not. A ? or NaN is a missing
value. Time stamps in brackets are not read.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, is_causal
from spaces.own_data import DataSection
from spaces.tasks import TaskInfo
from spaces.text import named, show
from trainables.data.formats.labels import encode
from trainables.data.formats.ragged import Array, Part, Ragged, sequence_of
from trainables.data.formats.table import VALUE_BYTES, check_file
from trainables.data.memory import refuse_unless_it_fits

_MISSING = ("?", "")
_MOST_LINE = 2**26  # bytes of one sequence


@dataclass(frozen=True)
class LinePlaces:
    """Places by line: "gestures.ts: line 17: dimension 2, step 5"; all count from 1."""

    file: str
    lines: NDArray[np.int64] = field(repr=False)  #: of each sequence
    lengths: NDArray[np.int64] = field(repr=False)

    def whole(self, part: Part) -> str:
        """Return the file's place."""
        return self.file

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence."""
        return f"{self.file}: line {self.lines[sequence]}"

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        sequence, within = sequence_of(self.lengths, at)
        return f"{self.of('x', sequence)}: dimension {(feature or 0) + 1}, step {within + 1}"


def read(path: Path, data: DataSection, kind: TaskKind) -> Ragged:
    """Return the data of a file for a task of a kind. Raises InputError."""
    found, labels = _read(path, data.file, kind)
    if kind in ("tagging", "multi-label"):
        rule = f"a .ts has one label for each sequence, and {kind} needs others"
        raise InputError.of(data.file, rule, "write the data as .csv, .parquet or .npz")
    if is_causal(kind):
        return found
    if labels is None:
        rule = f"{kind} needs a label at the end of each line; @classLabel or @targetLabel says so"
        raise InputError.of(data.file, rule, "write @classLabel true and the names of the classes")
    if kind == "regression":
        return replace(found, y=_numbers(labels, found))
    y, names = encode(labels)
    return replace(found, y=y, labels=names)


def read_new(path: Path, info: TaskInfo) -> Ragged:
    """Return sequences that a model is to be given; y as the file has it. Raises InputError."""
    found, labels = _read(path, path.name, info.kind)
    if labels is None or is_causal(info.kind):
        return found
    return replace(found, y=labels if info.kind == "classification" else _numbers(labels, found))


def read_any(path: Path) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return x, and y where lines have labels, and the lengths. Raises InputError.

    x is [steps, dimensions], or [steps] where the one dimension are whole numbers and no line has a
    label.
    """
    found, labels = _read(path, path.name, None)
    if labels is None:
        whole = found.x.shape[1] == 1 and bool((found.x == np.floor(found.x)).all())
        return {"x": found.x[:, 0].astype(np.int64) if whole else found.x}, found.lengths
    try:
        return {"x": found.x, "y": labels.astype(np.int64)}, found.lengths
    except ValueError:
        pass
    try:
        return {"x": found.x, "y": labels.astype(np.float64)}, found.lengths
    except ValueError:
        return {"x": found.x, "y": labels}, found.lengths


def _read(path: Path, place: str, kind: TaskKind | None) -> tuple[Ragged, Array | None]:
    """Return the sequences of a file, and the labels as text, where each line has one."""
    check_file(path, place)
    _check_size(path, place)
    pieces: list[Array] = []
    labels: list[str] = []
    lines: list[int] = []
    labelled, in_data = False, False
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(_MOST_LINE), b""), 1):
            line = raw.decode("utf-8", errors="replace").strip().lstrip("\ufeff")
            if not line or line.startswith("#"):
                continue
            where = f"{place}: line {number}"
            if line.startswith("@") and not in_data:
                in_data = line.split()[0].lower() == "@data"
                labelled = labelled or _says_labels(line)
            elif not in_data:
                rule = "a .ts file must begin with lines of @ and @data before its sequences"
                raise InputError.of(where, rule, "see the files of the UEA and UCR archives")
            else:
                *dimensions, label = line.split(":") if labelled else [*line.split(":"), ""]
                pieces.append(_sequence(dimensions, where))
                labels.append(label.strip())
                lines.append(number)
                _check_alike(pieces, labels if labelled else None, where)
    if not pieces:
        rule = "the data must hold at least one sequence after @data; it holds none"
        raise InputError.of(place, rule, "check how the file was written")
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    x = np.concatenate(pieces)
    places = LinePlaces(place, np.array(lines), lengths)
    if kind == "next-token":
        x = _symbols(x, places)
    return Ragged(x, lengths, places), np.array(labels) if labelled else None


def _check_size(path: Path, place: str) -> None:
    values = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            values += block.count(b",") + block.count(b":") + block.count(b"\n")
    refuse_unless_it_fits(VALUE_BYTES * (values + 1), place, "use less data")


def _says_labels(line: str) -> bool:
    words = line.lower().split()
    return words[0] in ("@classlabel", "@targetlabel") and words[1:2] == ["true"]


def _sequence(dimensions: list[str], where: str) -> Array:
    """Return a line's steps [steps, dimensions]."""
    if not dimensions:
        rule = "a line must hold values and, after a colon, the label"
        raise InputError.of(where, rule, "add the label, or write @classLabel false")
    columns = []
    for number, text in enumerate(dimensions, 1):
        if "(" in text:
            rule = "steps must be numbers with commas between them; these have time stamps"
            raise InputError.of(where, rule, "write the values alone, or a table as .csv")
        try:
            columns.append(_numbers_of(text.split(",")))
        except ValueError:
            raise _no_number(text, f"{where}: dimension {number}") from None
        if len(columns[-1]) != len(columns[0]):
            raise InputError.of(
                f"{where}: dimension {number}",
                f"all dimensions of a sequence must have the same steps; this one has "
                f"{len(columns[-1])}, the first has {len(columns[0])}",
                "cut or fill the dimensions of this sequence",
            )
    return np.stack(columns, axis=1)


def _numbers_of(texts: list[str]) -> Array:
    """Return numbers, NaN where one is missing. Raises ValueError."""
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        known = ["nan" if text.strip() in _MISSING else text for text in texts]
        return np.array(known, dtype=np.float64)


def _no_number(text: str, where: str) -> InputError:
    for step, value in enumerate(text.split(","), 1):
        if value.strip() in _MISSING:
            continue
        try:
            float(value)
        except ValueError:
            rule = f"values must be numbers, not {show(value.strip())}"
            return InputError.of(f"{where}, step {step}", rule, "correct it")
    return InputError.of(where, "values must be numbers", "correct them")


def _check_alike(pieces: list[Array], labels: list[str] | None, where: str) -> None:
    dimensions, first = pieces[-1].shape[1], pieces[0].shape[1]
    if dimensions != first:
        rule = f"all sequences must have {first} dimensions, as the first has; here are"
        remedy = "correct the line, or say with @classLabel whether a label ends it"
        raise InputError.of(where, f"{rule} {dimensions}", remedy)
    if labels is not None and labels[-1] in ("", "?"):
        raise InputError.of(where, "every sequence must have a label; here it is missing", "add it")


def _symbols(x: Array, places: LinePlaces) -> Array:
    if x.shape[1] != 1:
        rule = f"next-token reads one dimension of symbols, not {x.shape[1]}"
        raise InputError.of(places.file, rule, "leave the others out")
    wrong = (x[:, 0] != np.floor(x[:, 0])) | (np.abs(x[:, 0]) > 2**53)
    if wrong.any():
        at = int(np.argmax(wrong))
        rule = f"symbols must be whole numbers; this one is {x[at, 0]:g}"
        raise InputError.of(places.step(at), rule, "number the symbols from 0")
    symbols: Array = x[:, 0].astype(np.int64)
    return symbols


def _numbers(labels: Array, found: Ragged) -> Array:
    numbers = np.zeros(len(labels))
    for at, label in enumerate(labels.tolist()):
        try:
            numbers[at] = float(label)
        except ValueError:
            rule = f"regression targets must be numbers, not {named(label)}"
            remedy = "correct it, or choose kind: classification"
            raise InputError.of(found.places.of("y", at), rule, remedy) from None
    return numbers

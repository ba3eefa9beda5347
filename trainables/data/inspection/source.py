"""Any file of own data as a table, one row a step, also where it breaks rules of training."""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.own_data import SUFFIXES, TABLES, OneOrMore, is_class_name
from spaces.text import listed, show
from trainables.data.formats import folder, long_form, npz, python_class, ts, txt
from trainables.data.formats.on_demand import open_table
from trainables.data.formats.ragged import Array
from trainables.data.formats.table import Column, Table

#: Names of the columns that an .npz becomes; its features are "feature 0", "feature 1", …, and
#: several targets "y 0", "y 1", ….
ARRAYS = {"id": "sequence", "target": "y", "split": "split", "group": "group", "time": "time"}


def read(path: Path) -> tuple[Table, dict[str, OneOrMore]]:
    """Return all columns of a file, and by role those whose part is known.

    Raises InputError where the file cannot be read as a table.
    """
    place, suffix = path.name, path.suffix.lower()
    if path.is_dir() and not folder.holds_sounds(path):
        return folder.read_table(path)
    if suffix in TABLES:
        reader = long_form.reader_of(path)
        names = reader.names(path, place)
        source = reader.open_source(path, place, names, at_once=False)
        return open_table(source, place, names), {}
    made = is_class_name(path.name) and not path.exists()
    if suffix not in SUFFIXES and not path.is_dir() and not made:
        rule = f"data must be a file in {listed(SUFFIXES, 'or')}, not {show(path.name)}"
        raise InputError.of(place, rule, "write a table as .csv or .parquet")
    readers = {".ts": ts, ".txt": txt, ".npz": npz}
    module = folder if path.is_dir() else readers.get(suffix, python_class)
    arrays, lengths = module.read_any(path)
    x = arrays["x"]
    columns = {ARRAYS["id"]: np.repeat(np.arange(len(lengths)), lengths)}
    if x.ndim == 1:
        columns["symbol"] = x
    else:
        columns |= {f"feature {number}": x[:, number] for number in range(x.shape[1])}
    y: Array | None = arrays.get("y")
    targets: tuple[str, ...] = ()
    if y is not None and y.ndim == 2:
        targets = tuple(f"y {number}" for number in range(y.shape[1]))
        columns |= {name: np.repeat(y[:, at], lengths) for at, name in enumerate(targets)}
    elif y is not None:  # of steps, or of sequences
        columns[ARRAYS["target"]] = y if len(y) != len(lengths) else np.repeat(y, lengths)
    for name in ("split", "group"):
        if name in arrays:
            columns[name] = np.repeat(arrays[name], lengths)
    if "time" in arrays:
        columns[ARRAYS["time"]] = arrays["time"]
    table = Table(place, {name: _column(name, values) for name, values in columns.items()})
    parts: dict[str, OneOrMore] = {role: n for role, n in ARRAYS.items() if n in columns}
    if targets:
        parts["target"] = targets
    elif y is None and module in (npz, python_class) and x.ndim == 2 and not _are_frames(x):
        parts["target"] = "feature 0"  # what is forecast where there are no targets
    return table, parts


def _are_frames(x: Array) -> bool:
    return bool(np.isin(x, (0, 1)).all())


def _column(name: str, values: Array) -> Column:
    kind, written = values.dtype.kind, str(values.dtype)
    none = np.zeros(len(values), bool)
    if kind in "US":
        found, codes = np.unique(values.astype(np.str_), return_inverse=True)
        return Column(name, "text", codes, none, tuple(found.tolist()), written)
    if kind == "b":
        return Column(name, "boolean", values.astype(np.int64), none, type=written)
    if kind in "iu":
        return Column(name, "integer", values.astype(np.int64), none, type=written)
    numbers = values.astype(np.float64)
    return Column(name, "number", numbers, np.isnan(numbers), type=written)

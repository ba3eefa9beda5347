"""Own data that a class makes, given by its dotted name: `data: gestures.Gestures`.

    class Gestures:
        def __init__(self, window=50):     # data: {file: gestures.Gestures, options: {window: 30}}
            ...

        def load(self):
            return {"x": …, "lengths": …, "y": …}

`load` returns what an .npz of own data holds (see npz.py), the same whenever it is called: a job
that goes on loads it again. The class is looked for in gestures.py beside the job file, which a
submitted job takes with it, and then among what is installed. `gatesearch inspect
gestures.Gestures` calls it twice and says whether it keeps to this.
"""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, predicts_itself
from spaces.own_data import DataSection
from spaces.tasks import TaskInfo
from spaces.text import first_line, listed, show
from trainables.data.formats import npz
from trainables.data.formats.ragged import Array, Ragged


def read(path: Path, data: DataSection, kind: TaskKind) -> Ragged:
    """Return the data of a class for a task of a kind. Raises InputError."""
    y, gaps = not predicts_itself(kind), data.time_gaps
    required = (*npz.REQUIRED, *["y"] * y, *["time"] * gaps)
    arrays = _arrays(path, data.options or {}, required)
    return npz.of_arrays(arrays, kind, path.name, time_gaps=gaps)


def read_new(path: Path, info: TaskInfo) -> Ragged:
    """Raise InputError: new sequences come from files."""
    rule = f"new sequences must be in a file, not made by the class {path.name}"
    raise InputError.of(path.name, rule, "write them with numpy.savez, as x and lengths")


def read_any(path: Path) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return a class's arrays and lengths, made by its defaults, whatever the task.

    Raises InputError, also where it makes other arrays when it is asked again.
    """
    arrays, again = (_arrays(path, {}, npz.REQUIRED) for _ in range(2))
    for name in sorted(arrays.keys() | again.keys()):
        if name not in arrays or name not in again or not _equal(arrays[name], again[name]):
            raise differs(f"{path.name}: {name}")
    return arrays, npz.lengths_of(arrays, path.name)


def differs(place: str) -> InputError:
    """Return the error of a class that makes other data when it is asked again."""
    rule = "load() must return the same whenever it is called; here it differs"
    remedy = "draw with a generator of a fixed seed: numpy.random.default_rng(0)"
    return InputError.of(place, rule, remedy)


def _equal(one: Array, other: Array) -> bool:
    same = one.dtype == other.dtype and one.shape == other.shape
    return same and one.tobytes() == other.tobytes()


def _arrays(path: Path, options: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, Array]:
    """Return what a class's load() returns, as arrays by name. path: folder / module.Class."""
    name = path.name
    made = _called(name, "the class must be made from its options", _class(path), **options)
    load = getattr(made, "load", None)
    if not callable(load):
        raise InputError.of(name, "the class must have a method load()", "add it")
    found = _called(name, "load() must return arrays", load)
    if not isinstance(found, Mapping):
        rule = f"load() must return a mapping of arrays by name, not {type(found).__name__}"
        raise InputError.of(name, rule, 'return {"x": …, "lengths": …, "y": …}')
    missing = [each for each in required if each not in found]
    known = (*npz.REQUIRED, *npz.OPTIONAL)
    unknown = [each for each in found if each not in known]
    if missing or unknown:
        what = f"{missing[0]} is missing" if missing else f"{show(unknown[0])} is none of them"
        rule = (
            f"load() must return {listed(required)}, and may return {listed(npz.OPTIONAL)}; {what}"
        )
        raise InputError.of(name, rule, "return these names alone")
    arrays = {
        each: _called(f"{name}: {each}", "it must be an array", np.asarray, array)
        for each, array in found.items()
    }
    for each, array in arrays.items():
        if array.dtype == object:
            rule = f"{each} must be an array of numbers or of text, not of objects"
            remedy = "lay sequences end to end: numpy.concatenate(sequences)"
            raise InputError.of(f"{name}: {each}", rule, remedy)
    return arrays


def _class(path: Path) -> Any:
    name = path.name
    module_name, _, class_name = name.rpartition(".")
    module = _called(name, "the module must be importable", _module, path.parent, module_name)
    try:
        return getattr(module, class_name)
    except AttributeError:
        rule = f"the module {module_name} must have a class {class_name}; it has none"
        raise InputError.of(name, rule, "correct the name") from None


def _module(folder: Path, name: str) -> ModuleType:
    """Return a module of a folder's or an installed one; the folder is on no path of imports.

    A folder's is known to Python by a name that no other module has, since dataclasses look there
    for the names in their annotations.
    """
    beside = folder / f"{name}.py"
    if not beside.is_file():
        return importlib.import_module(name)
    own_name = f"gatesearch_data_{name}"
    spec = importlib.util.spec_from_file_location(own_name, beside)
    assert spec is not None and spec.loader is not None  # of a file that ends in .py
    module = sys.modules[own_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own_name]
        raise
    return module


def _called(name: str, rule: str, function: Any, *values: Any, **named: Any) -> Any:
    """Return what the user's code returns; whatever it raises becomes an InputError."""
    try:
        return function(*values, **named)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a module that is a script as well ends Python
        detail = f"{type(error).__name__}: {first_line(error)}"
        remedy = "run it in Python by itself, which shows the place"
        raise InputError.of(name, f"{rule}; it raises {detail}", remedy) from error

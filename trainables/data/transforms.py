"""Elementwise transforms, made before anything is fitted: of features, or of a series forecast.

    log         log(1 + x), of values that are not negative
    signed-log  sign(x) log(1 + |x|), of any (John & Draper 1980, Applied Statistics 29)

An exported model makes them itself. NaN stays: it is what is missing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.forecast import Transform
from trainables.data.formats.ragged import Places
from trainables.data.rows import stretches

Array = NDArray[Any]


def transformed(x: Array, transform: Transform | None) -> Array:
    """Return features [..., features], transformed in float64, in their own type.

    It is done in stretches of the first axis: in memory there are x and what is returned.
    """
    if transform is None:
        return x
    found = np.empty_like(x)
    for some in stretches(x):
        wide = x[some].astype(np.float64)
        signed = transform == "signed-log"
        found[some] = np.sign(wide) * np.log1p(np.abs(wide)) if signed else np.log1p(wide)
    return found


def undone(x: Array, transform: Transform | None) -> Array:
    """Return the values that `transformed` makes these of: in float64, where there is one."""
    if transform is None:
        return x
    wide = x.astype(np.float64)
    return np.sign(wide) * np.expm1(np.abs(wide)) if transform == "signed-log" else np.expm1(wide)


def check(x: Array, transform: Transform | None, places: Places) -> None:
    """Raise InputError where a value [steps, features] cannot be transformed so."""
    if transform != "log":
        return
    wrong = np.argwhere(x < 0)
    if len(wrong):
        at, feature = (int(i) for i in wrong[0])
        more = f" ({len(wrong)} such values)" if len(wrong) > 1 else ""
        raise InputError.of(
            places.step(at, feature),
            f"a value must be at least 0 for transform: log; this one is {x[at, feature]:g}{more}",
            "correct it, or write transform: signed-log, which takes any",
        )

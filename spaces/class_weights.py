"""How much classes count in the loss of training: `balanced`, or figures for each class.

A job file gives figures as a mapping ({leaking: 2, worn: 1.5}; other classes count 1) or as a list
in the order of the classes. A configuration holds them as JSON text, so that they are one value
like any other.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from spaces.own_data import Label
from spaces.text import listed, named, nearest

BALANCED = "balanced"  #: rare classes count more, see trainables.training.class_weights
FORMS = "balanced, a number above 0 for each class, as {CLASS: 2, …} or [1, 2, …]"
_MOST_SHOWN = 10  # classes that a message names


def canonical(written: Any) -> str | None:
    """Return weights as one text, or None where they are none of FORMS."""
    if isinstance(written, str):
        if written == BALANCED:
            return written
        try:
            written = json.loads(written)
        except ValueError:
            return None
    if isinstance(written, Mapping) and written and all(map(_is_name, written)):
        found = {_name(key): value for key, value in written.items()}
        if len(found) == len(written) and all(map(_is_weight, found.values())):
            return json.dumps({n: float(found[n]) for n in sorted(found)}, ensure_ascii=False)
    if isinstance(written, list | tuple) and written and all(map(_is_weight, written)):
        return json.dumps([float(value) for value in written])
    return None


def figures(weights: str, labels: Sequence[Label] | None, number: int) -> list[float] | None:
    """Return the weights of all classes in their order; None where they follow from the data.

    weights: as `canonical` returns them. Raises ValueError where they do not fit the classes.
    """
    if weights == BALANCED:
        return None
    given = json.loads(weights)
    names = [_name(label) for label in (range(number) if labels is None else labels)]
    if isinstance(given, list):
        if len(given) != number:
            rule = f"class_weights must have a number for each of the {number} classes"
            raise ValueError(f"{rule}, not {len(given)}")
        return given
    for name in given:
        if name not in names:
            shown = [named(each) for each in names[:_MOST_SHOWN]]
            known = listed(shown) if len(names) <= _MOST_SHOWN else ", ".join([*shown, "…"])
            near = nearest(name, names)
            offer = f" (did you mean {named(near)}?)" if near else ""
            rule = f"class_weights must name classes of the task, {known}"
            raise ValueError(f"{rule}; {named(name)} is none{offer}")
    return [given.get(name, 1.0) for name in names]


def written(weights: str | None) -> Any:
    """Return weights as a job file has them."""
    return weights if weights in (None, BALANCED) else json.loads(str(weights))


def _is_name(key: Any) -> bool:
    return isinstance(key, str | int)


def _name(key: Any) -> str:
    """Return a class as text: of true and false as data has them."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _is_weight(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < float("inf") and math.isfinite(float(value))

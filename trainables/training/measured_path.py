"""Which code a measured time is of: path of the scans, device and precision. Knows no torch.

trainables/layers/scan.py and trainables/engine/gpu/paths.py choose the path.
"""

import re
from collections.abc import Iterable

#: How people call the paths, and that of a cell without equations of a step.
WORDS = {
    "engine": "compiled engine",
    "generated": "generated kernel",
    "kernel": "torch's kernel",
    "torch": "torch's kernel",
    "reference": "reference, step by step",
    "operators": "torch's operators",
}
_FORM = re.compile(r"[a-z]{1,20}/[^/\x00-\x1f]{1,100}/[a-z0-9]{1,20}")
_SEVERAL = " + "


def measured_path(path: str, device: str, precision: str) -> str:
    """Return a path as it is stored: "engine/cpu/float32". device: the name of a card, or cpu."""
    path = "torch" if path == "kernel" else path  # both mean the same kernels
    return f"{path}/{device.replace('/', '-')}/{precision}"


def is_measured_path(text: str) -> bool:
    """Return whether a text has the form of a stored path."""
    return _FORM.fullmatch(text) is not None


def joined(paths: Iterable[str]) -> str | None:
    """Return the paths that one time is the sum of, as one text; None where none is known."""
    return _SEVERAL.join(paths) or None


def parts(path: str | None) -> list[str]:
    """Return the paths that `joined` has made one text of."""
    return path.split(_SEVERAL) if path else []


def in_words(path: str) -> str:
    """Return a stored path, or several joined, as people read it."""
    return _SEVERAL.join(map(_one_in_words, parts(path)))


def _one_in_words(path: str) -> str:
    name, _, rest = path.partition("/")
    device, _, precision = rest.partition("/")
    return ", ".join(part for part in (WORDS.get(name, name), device, precision) if part)

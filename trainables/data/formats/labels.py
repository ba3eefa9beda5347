"""Classes and symbols by the user's own names: text or whole numbers, in a stable order."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.own_data import Label
from spaces.text import listed, named
from trainables.data.formats.ragged import Array

_MOST_SHOWN = 10  # labels that a message lists


def encode(values: Array) -> tuple[NDArray[np.int64], tuple[Label, ...] | None]:
    """Return each value's place in the order of all, and the labels in that order.

    values: [n] text or whole numbers. Text that is whole numbers throughout counts as these, so
    that one data set has one order in every format: 2 before 10. The labels are None where they are
    0, 1, 2, ….
    """
    found, codes = np.unique(values, return_inverse=True)
    labels: list[Label] = [_plain(value) for value in found.tolist()]
    if all(isinstance(label, str) and _is_whole(label) for label in labels):
        labels = [int(label) for label in labels]
        order = sorted(range(len(labels)), key=labels.__getitem__)
        codes = np.argsort(order)[codes]
        labels.sort()
    return codes.astype(np.int64), None if labels == list(range(len(labels))) else tuple(labels)


def encode_as(
    values: Array, labels: tuple[Label, ...] | None, number: int, place: str
) -> NDArray[np.int64]:
    """Return the place of each value among known labels. Raises InputError for an unknown one."""
    known = [str(label) for label in (range(number) if labels is None else labels)]
    code_of = {label: code for code, label in enumerate(known)}
    found, inverse = np.unique(values, return_inverse=True)
    texts = [str(_plain(value)) for value in found.tolist()]
    for text in texts:
        if text not in code_of:
            shown = f"classes 0 to {number - 1}" if labels is None else _listed(known)
            raise InputError.of(
                place,
                f"must be one of the {shown}, which the model knows, not {named(text)}",
                "name the classes as in training, or leave the targets out",
            )
    codes: NDArray[np.int64] = np.array([code_of[text] for text in texts], np.int64)[inverse]
    return codes


def _plain(value: Label | bytes) -> Label:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value).lower() if isinstance(value, bool) else value


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and (
        len(text) <= 18 and str(int(text)) == text
    )  # fmt: skip


def _listed(labels: Sequence[str]) -> str:
    shown = [named(label) for label in labels[:_MOST_SHOWN]]
    return f"classes {listed(shown) if len(labels) <= _MOST_SHOWN else ', '.join(shown) + ', …'}"

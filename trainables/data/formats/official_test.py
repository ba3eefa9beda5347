"""Own data whose test part is a file of its own, as the UEA and UCR archives have it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.kinds import METRICS, TaskKind, has_classes
from spaces.tasks import TaskInfo
from trainables.data.formats.labels import encode_as
from trainables.data.formats.ragged import Part, Places, Ragged


@dataclass(frozen=True)
class JoinedPlaces:
    """Places in the one file or the other."""

    first: Places
    second: Places
    sequences: int = field(repr=False)  #: of the first file
    steps: int = field(repr=False)

    def whole(self, part: Part) -> str:
        """Return the place in the first file."""
        return self.first.whole(part)

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value."""
        if sequence < self.sequences:
            return self.first.of(part, sequence)
        return self.second.of(part, sequence - self.sequences)

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        if at < self.steps:
            return self.first.step(at, feature)
        return self.second.step(at - self.steps, feature)


def info_of(ragged: Ragged, kind: TaskKind) -> TaskInfo:
    """Return what is known of a task from its first file, to read the second one alike."""
    inputs = 1 if ragged.x.ndim == 1 else ragged.x.shape[1]
    longest, metric = int(ragged.lengths.max()), METRICS[kind][0]
    return TaskInfo(
        "", kind, inputs, 1, longest, metric, labels=ragged.labels, columns=ragged.columns
    )


def joined(first: Ragged, second: Ragged, kind: TaskKind, path: Path) -> Ragged:
    """Return the sequences of both files, the first one's first. Raises InputError.

    second: as Format.read_new returns it, from the file at `path`.
    """
    if first.split is not None:
        rule = "there must be no split beside a test file, which says who is for test"
        raise InputError.of(first.places.whole("split"), rule, "remove one of them")
    if first.x.shape[1:] != second.x.shape[1:]:
        rule = f"the test part must have {first.x.shape[1]} features a step, as the other file has"
        raise InputError.of(path.name, f"{rule}, not {second.x.shape[1]}", "correct one of them")
    y = None
    if first.y is not None:
        if second.y is None:
            rule, remedy = "the test part must have targets; this file has none", "add them"
            raise InputError.of(path.name, rule, remedy)
        found = second.y
        if has_classes(kind):
            classes = int(first.y.max()) + 1
            found = encode_as(found, first.labels, classes, second.places.whole("y"))
        y = np.concatenate([first.y, found])
    group = None
    if first.group is not None:
        if second.group is None:
            rule = "the test part must say the group of each sequence, as the other file does"
            raise InputError.of(path.name, rule, "add it, or leave group out")
        group = np.concatenate([first.group, second.group])
    places = JoinedPlaces(first.places, second.places, len(first.lengths), len(first.x))
    x, lengths = (
        np.concatenate([getattr(part, name) for part in (first, second)])
        for name in ("x", "lengths")
    )
    gap = None
    if first.gap is not None and second.gap is not None:
        gap = np.concatenate([first.gap, second.gap])
    return replace(first, x=x, lengths=lengths, y=y, group=group, places=places, gap=gap)

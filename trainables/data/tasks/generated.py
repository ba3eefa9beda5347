"""What tasks share that draw their data: their size, and how the examples are dealt."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind
from spaces.tasks import TaskSpec
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive

SHARES = (0.8, 0.1, 0.1)


def check_size(examples: int, steps: int, features: int, smaller: str) -> None:
    """Raise InputError where a part would be empty, or the examples do not fit into memory.

    smaller: what a person makes smaller, such as "length".
    """
    if any(cut.start == cut.stop for cut in consecutive(examples, SHARES)):
        raise InputError.of(
            "task.examples",
            f"the examples are split 80/10/10 and no part may be empty; {examples} are too few",
            "give at least 10 examples",
        )
    need = examples * steps * features * 4
    refuse_unless_it_fits(need, "task.examples", f"give fewer examples or a smaller {smaller}")


def dealt(
    spec: TaskSpec,
    kind: TaskKind,
    x_NTF: NDArray[np.float32],
    lengths: NDArray[np.int64],
    y: NDArray[Any],
    outputs: int,
) -> Parts:
    """Return N drawn examples as a task, in their order 80/10/10.

    x_NTF: of which the first lengths [N] of T steps count; y [N].
    """
    parts = []
    for cut in consecutive(len(y), SHARES):
        counted = np.arange(x_NTF.shape[1]) < lengths[cut, None]
        parts.append(Sequences(x_NTF[cut][counted], lengths[cut], y[cut]))
    dealing = Dealing("draws", spec=spec)
    return Parts(spec.label, kind, x_NTF.shape[2], outputs, *parts, dealing=dealing)


def distinct(rows: NDArray[Any], wanted: int) -> NDArray[Any]:
    """Return the first `wanted` rows of which no two are equal, or fewer where there are fewer."""
    _, places = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(places)[:wanted]]

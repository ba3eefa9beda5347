"""How much each class counts in the loss of a training; figures of evaluations weigh all alike."""

import numpy as np
import torch
from torch import Tensor

from spaces.class_weights import figures
from spaces.config import TrialConfig
from trainables.data.sequences import Data


def class_weights(config: TrialConfig, data: Data) -> Tensor | None:
    """Return the weights [classes] float32, or None where all count the same.

    balanced: n / (classes * n_class) over the training part, as scikit-learn has it: the mean over
    its targets is 1. A class without targets there has weight 1, which is never used. Given figures
    are taken as they are, so that the scale of the loss is theirs. Raises ValueError where they do
    not fit the task's classes.
    """
    if config.class_weights is None:
        return None
    given = figures(config.class_weights, data.info.labels, data.info.outputs)
    if given is not None:
        return torch.tensor(given, dtype=torch.float32)
    y = data.train.step_targets() if data.train.stepwise else data.train.y
    assert y is not None
    counts = np.bincount(y.astype(np.int64), minlength=data.info.outputs)
    classes = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(y) / (classes * np.maximum(counts, 1)), 1.0)
    return torch.from_numpy(weights.astype(np.float32))

"""On which device a worker trains."""

import os

import torch

from spaces.errors import GatesearchError


class DeviceError(GatesearchError):
    """The worker was given a GPU that torch cannot use."""


def choose_device(gpus: float) -> str:
    """Return the torch device of a worker that was given that many GPUs, or a share of one.

    With TRITON_INTERPRET=1 in the environment Triton's kernels run interpreted on CPU tensors: a
    machine without a GPU then stands in for one that has it, for tests.

    Raises DeviceError where torch sees no GPU.
    """
    if not gpus:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "cpu"
    raise DeviceError(
        "A worker with a GPU needs a torch that sees the GPU: this one "
        f"(torch {torch.__version__}) sees none. `gatesearch doctor` says what is missing; with "
        "`resources: {gpus_per_trial: 0}` a job trains on CPUs."
    )

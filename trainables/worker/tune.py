"""The one file of trainables that knows Ray Tune: a worker that trains slices and reports them.

An actor serves many trials, one after the other or several at once (pack.py): it takes some and
lets go of others between two steps. It holds the data once per node through Ray's object store, and
writes its own checkpoints: Tune's are not used, since a job resumes from its journal alone.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from ray import tune

from trainables.checkpoints.open import open_store
from trainables.data.sequences import Data
from trainables.worker.device import DeviceError, choose_device
from trainables.worker.limits import limit_finder
from trainables.worker.messages import TrialAssignment
from trainables.worker.pack import Pack

STORE_SECONDS = 5.0  #: that a step waits for a store of checkpoints that is away
IDLE_SECONDS = 0.02  #: between two reports of a worker that has no trial


class Worker(tune.Trainable):
    """Trains the trials that its config holds under "work", and those that it is given later."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], data: Data, checkpoints: str, threads: int, packed: bool
    ) -> None:
        """Take the data (shared, read-only), the place of checkpoints and the first trials.

        config: "work", the trials, and "gpus", how many GPUs the worker was given, or which share
        of one. packed: whether it asks for as many trials at once as fit.
        """
        torch.set_num_threads(threads)
        self._unusable: str | None = None
        device = "cpu"
        try:
            device = choose_device(config["gpus"])
        except DeviceError as error:
            self._unusable = str(error)
        find_limit = limit_finder(data, device) if packed else None
        store = open_store(checkpoints, turn=STORE_SECONDS)
        self._pack = Pack(data, store, device, find_limit)
        self.take(config["work"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to other trials in the same process."""
        self._pack.clear()
        self.take(new_config["work"])
        return True

    def take(self, work: list[dict[str, Any]], dropped: Sequence[str] = ()) -> None:
        """Let go of some trials, by their keys, and take others beside those that are left."""
        self._pack.drop(dropped)
        self._pack.add([TrialAssignment.from_dict(plain) for plain in work])

    def step(self) -> dict[str, Any]:
        """Train a slice; return reports, which may be none, and the room for more trials.

        "waits" says what store is waited for, if one is; the next step tries it again.

        A trial's own exception is a report too, and the actor lives on. What Pack raises ends the
        actor: its trials begin again in another process, from their checkpoints.
        """
        if not len(self._pack):
            time.sleep(IDLE_SECONDS)
            reports = []
        elif self._unusable is not None:
            reports = self._pack.halt(self._unusable)
        else:
            reports = self._pack.advance()
        plain = [report.as_dict() for report in reports]
        return {"report": plain, "room": self._pack.room, "waits": self._pack.waits}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: see the module's docstring. Tune calls it at the end of a reused trial."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: see the module's docstring."""

"""The root of all exceptions whose text is meant for a person.

GatesearchError             exit code 1; its text says what happened and what to do
    InputError                  exit code 2; carries one Problem or several: place, rule, remedy
    JournalError                search/journal/base.py, which derives four of its own
    RunError                    search/run/tune_bridge.py
    StorageFullError            search/run/storage_limit.py
    RefusedError                search/watch/control.py
    StoreError                  trainables/checkpoints/base.py
    CheckpointError             trainables/checkpoints/base.py
    DeviceError                 trainables/worker/device.py
    ExportError                 trainables/export/onnx/convert.py

The command line prints the text of any of them and exits with its code. deploy/ imports none of our
packages and has a root of its own, ClusterError (deploy/errors.py). Exceptions that never leave
their room (search/tracking/server.py has some) derive from Exception.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One broken rule: where it is, what the rule says, and what to do about it."""

    place: str  #: "job.yaml:12: space.depth", or a file, or a command-line option
    rule: str  #: the rule, with the value that broke it
    remedy: str  #: what the user can do

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}\n  remedy: {self.remedy}"


class GatesearchError(Exception):
    """Something that a person can understand and act on. Its text names the remedy."""

    exit_code = 1  #: of a command that ends with it


class InputError(GatesearchError, ValueError):
    """The user's input was refused; nothing was started and nothing was changed."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["InputError"], tuple[tuple[Problem, ...]]]:
        return InputError, (self.problems,)  # the default would rebuild it from the text alone

    @classmethod
    def of(cls, place: str, rule: str, remedy: str) -> "InputError":
        """Return an error with a single problem."""
        return cls([Problem(place, rule, remedy)])

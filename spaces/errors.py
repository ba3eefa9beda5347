"""What is raised when the user's input breaks a rule.

InputError (ValueError)     exit code 2; carries one Problem or several
    Problem                 place, rule, remedy
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


class InputError(ValueError):
    """The user's input was refused; nothing was started and nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["InputError"], tuple[tuple[Problem, ...]]]:
        return InputError, (self.problems,)  # the default would rebuild it from the text alone

    @classmethod
    def of(cls, place: str, rule: str, remedy: str) -> "InputError":
        """Return an error with a single problem."""
        return cls([Problem(place, rule, remedy)])

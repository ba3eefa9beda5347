"""The tree of exceptions: the one that the docstring shows, with exit codes."""

import pickle
import re
from pathlib import Path

import pytest

from spaces import errors
from spaces.errors import GatesearchError, InputError, Problem

ROOT = Path(errors.__file__).parents[1]
SHOWN = re.findall(r"^ +(\w+Error) +([\w/]+\.py)", errors.__doc__ or "", re.MULTILINE)


def derived(path: Path) -> list[tuple[str, str]]:
    """Return the classes of a file that derive from the root, with the file's path."""
    found = re.findall(r"^class (\w+)\([^)]*GatesearchError", path.read_text(), re.MULTILINE)
    return [(name, path.relative_to(ROOT).as_posix()) for name in found]


def test_the_tree_shows_every_exception_and_its_file() -> None:
    packages = ("trainables", "search")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    assert sorted(SHOWN) == sorted(pair for file in files for pair in derived(file))


@pytest.mark.parametrize(("kind", "code"), [(GatesearchError, 1), (InputError, 2)])
def test_an_exception_has_the_exit_code_of_the_tree(kind: type[GatesearchError], code: int) -> None:
    assert kind.exit_code == code
    assert re.search(rf"{kind.__name__} +exit code {code};", errors.__doc__ or "")


def test_a_refusal_travels_between_processes_with_its_problems() -> None:
    error = InputError([Problem("job.yaml:1: name", "must be text, not 5", 'write "5"')])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert again.problems == error.problems
    assert str(again) == str(error)
    assert "remedy: write" in str(error)

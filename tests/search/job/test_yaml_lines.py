"""The text of a job file: what is no YAML, too large or too deep is refused before it is read."""

import string
from pathlib import Path
from typing import Any

import pytest
from drawn_spaces import jobs
from hypothesis import given
from hypothesis import strategies as st

from search.job.spec import JobSpec
from search.job.yaml_lines import MAX_BYTES
from spaces.errors import InputError, Problem

HEAD = "name: a\ntask: {name: japanese-vowels}\narms: [lstm]\n"
ARMS = "name: a\ntask: {name: adding}\narms:\n"


def problems(text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        JobSpec.loads(text, "job.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + f"space: {{depth: {{choices: [{', '.join(['1'] * 60_000)}]}}}}\n",
        ARMS[:-1] + f" [{', '.join(['lstm'] * 20_000)}]\n",
        HEAD + f"x: [{', '.join('x' * 80_000)}]\n",
        "- " * 100_000,
        "{" * 200_000,
        "a: " * 80_000,
        "'" * 200_001,
    ],
    ids=["choices", "arms", "list", "dashes", "braces", "colons", "quotes"],
)
def test_a_monstrous_file_is_answered_with_at_most_a_page(text: str) -> None:
    found = problems(text)
    assert len(found) <= 51
    assert all(len(str(problem)) < 2000 for problem in found)


def test_a_file_of_aliases_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "aliases.yaml"
    file.write_text("a: &a [x]\n" + "b: *a\n" * 200_000)
    assert file.stat().st_size > 2**20
    with pytest.raises(InputError, match="at most 256 KB"):
        JobSpec.load(file)


def test_a_billion_laughs_are_refused_at_the_first(tmp_path: Path) -> None:
    lines = ["a0: &a0 [l, l]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (problem,) = problems("\n".join(lines))
    assert problem.place == "job.yaml:1: a0"


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("latin.yaml", "name: a\n# café\n".encode("latin-1"), "must be UTF-8 text; byte 14"),
        ("utf16.yaml", HEAD.encode("utf-16"), "must be UTF-8 text; byte 1 "),
        ("binary.yaml", bytes(range(256)), "must be UTF-8 text; byte 129"),
        ("zeros.yaml", bytes(1000), "without the character '\\x00'"),
        ("large.yaml", b"#" * (MAX_BYTES + 1), "at most 256 KB"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, name: str, content: bytes, rule: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        JobSpec.load(file)
    (problem,) = caught.value.problems
    assert problem.place.startswith(str(file))
    assert rule in problem.rule


@pytest.mark.parametrize(
    ("name", "rule"),
    [("missing.yaml", "must exist"), (".", "not a folder"), ("a\0b", "must be readable")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        JobSpec.load(f"{tmp_path}/{name}")


@given(jobs(), st.text(alphabet="{}[]:,-&*!|>'\"#%@`? \n\t" + string.ascii_lowercase, max_size=9))
def test_a_slip_of_the_hand_never_ends_in_another_exception(
    written: dict[str, Any], slip: str
) -> None:
    text = repr(written).replace("True", "true").replace("False", "false").replace("None", "null")
    middle = len(text) // 2
    for broken in (text[:middle] + slip + text[middle:], slip + text, text[:middle] + slip):
        try:
            JobSpec.loads(broken, "job.yaml")
        except InputError as error:
            assert all(problem.place.startswith("job.yaml") for problem in error.problems)


@given(st.text())
def test_any_text_is_answered_with_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        JobSpec.loads(text, "job.yaml")


@given(st.binary())
def test_any_bytes_are_answered_with_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError):
        JobSpec.load(file)

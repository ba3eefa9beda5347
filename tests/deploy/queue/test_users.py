"""Tokens are what the queue has signed, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import ClusterError
from deploy.queue.users import Signer, check_name, key_of


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(key_of(tmp_path_factory.mktemp("queue") / "key"))


def test_a_token_names_its_user_also_after_a_restart(tmp_path: Path) -> None:
    token = Signer(key_of(tmp_path / "key")).sign("ann", 3)
    assert Signer(key_of(tmp_path / "key")).read(token) == ("ann", 3)
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_a_token_of_another_queue_is_none(signer: Signer, tmp_path: Path) -> None:
    assert Signer(key_of(tmp_path / "key")).read(signer.sign("ann", 1)) is None


CHANGES = {
    "another name": lambda token: token.replace("ann", "bob"),
    "another number": lambda token: token.replace(".1.", ".2."),
    "a longer one": lambda token: token + "0",
    "a shorter one": lambda token: token[:-1],
    "another end": lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
    "a line more": lambda token: token + "\n",
    "nothing": lambda token: "",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_token_is_none(signer: Signer, change) -> None:  # type: ignore[no-untyped-def]
    assert signer.read(change(signer.sign("ann", 1))) is None


@settings(max_examples=30)
@given(text=st.text())
def test_no_text_is_a_token_by_chance(signer: Signer, text: str) -> None:
    assert signer.read(text) is None


def test_a_key_is_neither_shown_nor_half_written(signer: Signer, tmp_path: Path) -> None:
    assert repr(signer) == "Signer()"
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ClusterError, match="key must have 32 bytes, not 5"):
        Signer(key_of(tmp_path / "key"))


@pytest.mark.parametrize("name", ["", "Ann", "a b", "-a", "a" * 33, "a.b", "ann\n", None, 3])
def test_a_name_that_no_token_can_have_is_refused(name: object) -> None:
    with pytest.raises(ClusterError, match="user's name must be"):
        check_name(name)

"""The token is found where Ray finds it, and is shown nowhere."""

import pickle
import traceback
from pathlib import Path

import pytest

from deploy.client import Client, Token, find_token
from deploy.errors import ClusterError

SECRET = "s3cr3t-of-the-cluster"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(SECRET + "\n")
    return file


def test_an_explicit_file_goes_before_the_environment(token_file: Path) -> None:
    token = find_token(token_file, {"RAY_AUTH_TOKEN": "other"})
    assert token is not None and token.header() == f"Bearer {SECRET}"


def test_the_environment_is_searched_in_rays_order(token_file: Path, tmp_path: Path) -> None:
    default = tmp_path / ".ray" / "auth_token"
    default.parent.mkdir()
    default.write_text("of-the-home")
    everything = {
        "RAY_AUTH_TOKEN": "of-the-variable",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "HOME": str(tmp_path),
    }
    order = []
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "HOME"):
        token = find_token(None, everything)
        assert token is not None
        order.append(token.header().removeprefix("Bearer "))
        del everything[name]
    assert order == ["of-the-variable", SECRET, "of-the-home"]


def test_no_token_anywhere_is_none(tmp_path: Path) -> None:
    assert find_token(None, {"HOME": str(tmp_path)}) is None


def test_a_token_file_that_is_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="must be readable") as refusal:
        find_token(None, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "missing")})
    assert refusal.value.exit_code == 2


def test_a_file_that_others_can_read_is_reported(token_file: Path) -> None:
    token_file.chmod(0o644)
    token = find_token(token_file)
    assert token is not None and token.warning is not None and "chmod 600" in token.warning
    assert Client("http://127.0.0.1:1", token).warnings == [token.warning]


@pytest.mark.parametrize("value", ["", "two words", "line\r\nX-Evil: yes", "ünïcode"])
def test_what_cannot_be_a_header_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ClusterError) as refusal:
        Token(value, "here")
    assert not value or value not in str(refusal.value)


def test_a_token_is_shown_nowhere() -> None:
    token = Token(SECRET, "here")
    client = Client("http://127.0.0.1:1", token)
    for thing in (token, client, vars(client), client.warnings):
        assert SECRET not in repr(thing)
    with pytest.raises(TypeError):
        pickle.dumps(token)
    with pytest.raises(ClusterError) as failure:
        client.jobs()
    assert SECRET not in "".join(traceback.format_exception(failure.value))

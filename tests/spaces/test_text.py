"""Texts of messages: no secret gets into them."""

import pytest

from spaces.text import mask, show


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:secret@host/api?token=secret", "https://***@host/api?***"),
        ("postgresql://secret@h/d", "postgresql://***@h/d"),
        ("postgresql://u:sec/r@et@h/d", "postgresql://***@h/d"),
        ("postgresql://h/d?%70assword=secret", "postgresql://h/d?***"),
        ("https://h/a#token=secret", "https://h/a#***"),
        ("host=h password=secret user=u", "host=h password=*** user=u"),
        ("/api?x=1&access_token=secret&y=2", "/api?x=1&access_token=***&y=2"),
        ("no secret in http://host:5000/a/b", "no secret in http://host:5000/a/b"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_secrets_are_masked_and_nothing_else(text: str, expected: str) -> None:
    assert mask(text) == expected
    assert mask(f"failed: {text} and {text}") == f"failed: {expected} and {expected}"


def test_a_shown_value_is_masked_before_it_is_shortened() -> None:
    assert "secret" not in show("https://user:" + "secret" * 20 + "@host")

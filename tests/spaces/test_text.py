"""Texts of messages: no secret gets into them, and nothing that commands a terminal."""

import pytest

from spaces.text import mask, named, printable, show


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
        ("host=h p%61ssword=secret", "host=h p%61ssword=***"),
        ("a=b%26t%6fken=secret", "a=b%26t%6fken=***"),
        ("password=sec=ret user=u", "password=***=*** user=u"),
        ("no secret in http://host:5000/a/b", "no secret in http://host:5000/a/b"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_secrets_are_masked_and_nothing_else(text: str, expected: str) -> None:
    assert mask(text) == expected
    assert mask(f"failed: {text} and {text}") == f"failed: {expected} and {expected}"


def test_a_shown_value_is_masked_before_it_is_shortened() -> None:
    assert "secret" not in show("https://user:" + "secret" * 20 + "@host")


def test_a_shown_url_hides_a_password_with_a_space_in_it() -> None:
    assert "secret" not in show("postgresql://u:my secret@host/x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, σ → größe\n\tnext line", "plain, σ → größe\n\tnext line"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("100 %\rdone\r\n", "100 %\\rdone\n"),
        ("\u202egpj.exe\u2028", r"\u202egpj.exe\u2028"),
        ("\ud800\x00\x7f", r"\ud800\x00\x7f"),
        ("\x1b\x1b[0m[2J", r"\x1b[2J"),
    ],
)
def test_what_commands_a_terminal_stands_as_an_escape(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(expected) == expected


@pytest.mark.parametrize("name", ["x" * 10**6, "\x1b[31m", "a\nb", "\u202e"])
def test_a_name_from_elsewhere_is_short_and_visible(name: str) -> None:
    assert named(name).isprintable() and len(named(name)) < 70
    assert named("gestures") == "gestures"

"""How values and names are put into messages for people."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

_LONGEST = 60  # characters of a value that a message quotes
#: What people of the field call some of our names.
_SYNONYMS = {
    "asha": "successive-halving",
    "sha": "successive-halving",
    "bayes": "tpe",
    "bayesian": "tpe",
    "bohb": "hyperband",
    "grid": "brute-force",
    "off": "none",
    "japanesevowels": "japanese-vowels",
    "mse-loss": "mse",
}
_NUMBER = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*")
_USERINFO = re.compile(r"(?<=://)\S*(?=@)")  # up to the last @: a password may have one
_QUERY = re.compile(r"(://[^\s?#]*[?#])\S+")
_SECRET = re.compile(r"(?i)((?:password|passwd|pwd|secret|token|key)=)[^&\s]+")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the valid name that was most likely meant, or None if none is near."""
    folded = {other.lower().replace("_", "-"): other for other in names}
    wanted = name[:200].lower().replace("_", "-").replace(" ", "-")
    wanted = _SYNONYMS[wanted] if _SYNONYMS.get(wanted) in folded else wanted
    found = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.6)
    starting = [other for other in folded if len(wanted) > 1 and other.startswith(wanted)]
    return folded[(found or starting)[0]] if found or starting else None


def listed(names: Iterable[object], last: str = "and") -> str:
    """Return "a, b and c"."""
    texts = [str(name) for name in names]
    return " ".join([", ".join(texts[:-1]), last, texts[-1]]) if len(texts) > 1 else "".join(texts)


def show(value: Any) -> str:
    """Return a value as the user wrote it, shortened where it is long, without passwords."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            text = repr(mask(value[:2000])[: _LONGEST + 1])
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case float():
            text = f"{value:.15g}"
        case int() if abs(value) >= 10**_LONGEST:
            return "a number of more than 60 digits"
        case _:
            text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the nearest valid one and what else there is."""
    known = list(names)
    near = nearest(name, known)
    offer = f"use {listed(known, 'or')}" if len(known) > 1 else f"use {known[0]}"
    return f"did you mean {near}? {offer[0].upper()}{offer[1:]}" if near else offer


def bracketed(written: Any) -> str:
    """Return how a value, or the values of a list or mapping, are written as a list."""
    values = list(written) if isinstance(written, list | tuple | dict) else [written]
    simple = all(
        value.isprintable() if isinstance(value, str) else isinstance(value, int | float | None)
        for value in values
    )
    text = ", ".join(mask(v) if isinstance(v, str) else show(v) for v in values) if simple else ""
    return f"[{text}]" if 0 < len(text) <= _LONGEST else "[a, b]"


def unquoted(written: Any) -> str | None:
    """Return the number that a text was meant to be, or None."""
    if not isinstance(written, str) or len(written) > _LONGEST or not _NUMBER.fullmatch(written):
        return None
    sign, digits = re.fullmatch(r"\s*([-+]?)0*(.*?)\s*", written, re.DOTALL).groups()  # type: ignore[union-attr]
    return sign + (digits if digits[:1].isdigit() else f"0{digits}")


def mask(text: str) -> str:
    """Return a text without secrets: user names, passwords and queries of URLs, key=value pairs."""
    without_users = _USERINFO.sub("***", text)
    return _SECRET.sub(r"\1***", _QUERY.sub(r"\1***", without_users))

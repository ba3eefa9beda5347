"""How values and names are put into messages for people."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

_LONGEST = 60  # characters of a value that a message quotes
#: How programs colour what they write to a terminal (ECMA-48, SGR).
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
#: What moves a terminal's cursor, sets its title, ends a line or turns the direction of writing;
#: and surrogates, which are no characters.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
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
_SECRET = re.compile(r"(?i)(password|passwd|pwd|secret|token|key)$")  # what stands before a =


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


def first_line(error: object) -> str:
    """Return the first line of an error's text, without what a terminal would act on."""
    return printable(str(error)).strip().partition("\n")[0][:200]


def show(value: Any) -> str:
    """Return a value as the user wrote it, shortened where it is long, without passwords."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            one = re.sub(r"(?s)(?<=://).*(?=@)", "***", value[:2000])  # with spaces in a password
            text = repr(mask(one)[: _LONGEST + 1])
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


def printable(text: str) -> str:
    """Return a text that came from elsewhere as terminals and pages may show it.

    Colours are left out; other characters that command a terminal stand as escapes.
    """
    if _UNSEEN.search(text) is None:
        return text
    plain = _COLOUR.sub("", text.replace("\r\n", "\n"))
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), plain)


def named(name: str) -> str:
    """Return a name that came from elsewhere: as it is, or quoted where it is long or unseen."""
    return name if name.isprintable() and len(name) <= _LONGEST else show(name)


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
    first, *rest = _QUERY.sub(r"\1***", without_users).split("=")
    parts, secret = [first], False
    for before, part in zip([first, *rest], rest, strict=False):
        inside = secret and re.search(r"[&\s]", before) is None  # of a value with a = in it
        secret = inside or _SECRET.search(unquote(before)) is not None
        parts.append(re.sub(r"^[^&\s]+", "***", part) if secret else part)
    return "=".join(parts)


def readable(size: int) -> str:
    """Return a number of bytes in its unit, however large it is."""
    for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB")):
        if size < 1024 ** (power + 1):
            return f"{size / 1024**power:.{0 if power == 0 else 1}f} {unit}"
    return f"10^{int(math.log10(size)) - 15} PiB"

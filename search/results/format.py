"""How figures are written for people: in the terminal, in sentences and in the report alike."""

from collections.abc import Sequence
from typing import Any

ABSENT = "–"


def value(number: float | None) -> str:
    """Return a metric's value with four digits after the point, or four significant ones."""
    if number is None:
        return ABSENT
    if number == 0 or 0.001 <= abs(number) < 1000:
        return f"{number:.4f}"
    return f"{number:.4g}"


def signed(number: float | None) -> str:
    """Return a difference; the sign is always written, the minus as a minus sign."""
    if number is None:
        return ABSENT
    return ("+" if number > 0 else "−" if number < 0 else "±") + value(abs(number))


def spread(mean: float | None, deviation: float | None) -> str:
    """Return mean ± standard deviation, or the mean alone where one run gives no deviation."""
    return value(mean) if deviation is None else f"{value(mean)} ± {value(deviation)}"


def count(number: int | None) -> str:
    """Return a whole number with thousands separated."""
    return ABSENT if number is None else f"{number:,}"


def seconds(number: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if number is None:
        return ABSENT
    if number == 0:
        return "0 s"
    if number < 100:
        return f"{number:.2f} s" if number < 10 else f"{number:.1f} s"
    if number < 6000:
        return f"{number / 60:.1f} min"
    return f"{number / 3600:.1f} h"


def plain(setting: Any) -> str:
    """Return a setting as a person would write it."""
    if setting is None:
        return "off"
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Return "1 seed", "10 seeds"."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def listing(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"

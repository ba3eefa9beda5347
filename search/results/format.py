"""How figures are written for people: in the terminal, in sentences and in the report alike."""

import math
from collections.abc import Callable
from typing import Any

from search.spread import Spread
from spaces.text import readable

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


def bounds(low: float, high: float) -> str:
    """Return an interval of differences; digits far below its width are left out."""
    width = high - low
    digits = max(4, 2 - math.floor(math.log10(width))) if 0 < width < math.inf else 4
    return f"{signed(round(low, digits))} to {signed(round(high, digits))}"


def share(probability: float, interval: tuple[float, float]) -> str:
    """Return a share with its interval in percent: "60 % (28–86)"."""
    low, high = (100 * bound for bound in interval)
    return f"{100 * probability:.0f} % ({low:.0f}–{high:.0f})"


def spread(values: Spread | None) -> str:
    """Return mean ± standard deviation, or the mean alone where one run gives no deviation."""
    return ABSENT if values is None else with_deviation(value(values.mean), values.deviation)


def with_deviation(mean: str, deviation: float | None) -> str:
    """Return a mean that is written already with its standard deviation, where there is one."""
    return mean if deviation is None else f"{mean} ± {value(deviation)}"


def probability(share: float) -> str:
    """Return a probability; one that only simulation tells from 0 or 1 is not written as that."""
    if share < 0.001 or share > 0.999:
        return "< 0.001" if share < 0.5 else "> 0.999"
    return f"{share:.2f}" if 0.01 <= share <= 0.99 else f"{share:.3f}"


def count(number: int | None) -> str:
    """Return a whole number with thousands separated."""
    return ABSENT if number is None else f"{number:,}"


def done(numbers: tuple[int, int] | None) -> str:
    """Return "3 of 10" for what is done and what was asked for."""
    return ABSENT if numbers is None else f"{count(numbers[0])} of {count(numbers[1])}"


def seconds(number: float | None) -> str:
    """Return a duration in the unit that reads best."""
    if number is None:
        return ABSENT
    if number == 0:
        return "0 s"
    if number < 0.1:
        return milliseconds(1000 * number)
    if number < 100:
        return f"{number:.2f} s" if number < 10 else f"{number:.1f} s"
    if number < 6000:
        return f"{number / 60:.1f} min"
    return f"{number / 3600:.1f} h"


def milliseconds(number: float | None) -> str:
    """Return a short time with three significant digits."""
    return ABSENT if number is None else f"{number:#.3g} ms"


def memory(number: int | None) -> str:
    """Return a size in memory in the unit that reads best."""
    return ABSENT if number is None else readable(number)


def within(
    number: float | None,
    interval: tuple[float | None, float | None],
    written: Callable[[float | None], str],
) -> str:
    """Return a number and its interval, as "12 (9 to 15)", or "12 (9 or more)"."""
    if number is None:
        return ABSENT
    low, high = interval
    if low is None:
        return written(number)
    upper = "or more" if high is None else f"to {written(high)}"
    return f"{written(number)} ({written(low)} {upper})"


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


def gigabytes(size: float) -> str:
    """Return a number of bytes in the unit of storage.limit_gb."""
    return f"{size / 1e9:.3g} GB"


def full_storage(bytes: float, limit_gb: float) -> str:
    """Return why a job whose storage is full has ended, and what to do about it."""
    return (
        f"its checkpoints hold {gigabytes(bytes)}, over storage.limit_gb: {limit_gb:g}, so nothing "
        "new was begun. Nothing is lost: raise the limit in the job file, and run or submit it "
        "again; it goes on where it was."
    )

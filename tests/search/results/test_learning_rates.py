"""The width of the learning rates that work is the truth's, and is told only where it can be."""

import math
import random

import pytest

from search.results.learning_rates import GoodRates, good_rates
from spaces.arms import Arm
from spaces.domains import Domain, Fixed, Range
from spaces.kinds import Metric

ACCURACY, LOSS = Metric("accuracy", "maximize"), Metric("bits-per-token", "minimize")
THREE_DECADES = Range(1e-4, 1e-1, log=True)


def told(
    controls: list[float | None], domain: Domain = THREE_DECADES, metric: Metric = ACCURACY
) -> GoodRates:
    arm = Arm("lstm", (), {"learning_rate": domain}, 9)
    return good_rates(arm, controls, metric, [0.1, 0.05] if metric is ACCURACY else [2.0, 3.0])


def test_the_width_is_that_of_the_region_and_its_interval_holds_it() -> None:
    """Rates of one decade out of three work; what is drawn beside them moves values a little."""
    draw, held, widths = random.Random(0), 0, []
    for _ in range(400):
        values: list[float | None] = []
        for _ in range(24):
            works = 1 <= draw.uniform(0, 3) <= 2
            values.append(draw.uniform(0.9, 0.95) if works else draw.choice([0.5, None]))
        found = told(values)
        assert found.width is not None and found.interval is not None
        held += found.interval[0] <= 1 <= found.interval[1]
        widths.append(found.width)
    assert held >= 0.95 * 400, "the interval is exact: it errs on the wide side"
    assert sum(widths) / 400 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("metric", [ACCURACY, LOSS])
def test_a_rate_is_good_where_nine_tenths_of_the_gain_are_kept(metric: Metric) -> None:
    best, kept, lost = (0.9, 0.821, 0.819) if metric is ACCURACY else (1.0, 1.099, 1.101)
    found = told([best, *[kept] * 5, *[lost] * 6], metric=metric)
    assert found.width == pytest.approx(3 * 5 / 11), "the best sets the bar and is not counted"
    assert (found.searched, found.controls) == (pytest.approx(3), 12)


@pytest.mark.parametrize(
    ("controls", "domain", "reason"),
    [
        ([0.9] * 11, THREE_DECADES, "11 controls, and 12 are needed"),
        ([0.09] * 12, THREE_DECADES, "no control beats the trivial prediction"),
        ([None] * 12, THREE_DECADES, "no control beats the trivial prediction"),
        ([0.9] * 12, Fixed(0.01), "learning_rate must be searched on a log scale"),
        ([0.9] * 12, Range(0.001, 0.1), "learning_rate must be searched on a log scale"),
    ],
)
def test_what_cannot_be_told_has_its_reason(
    controls: list[float | None], domain: Domain, reason: str
) -> None:
    assert told(controls, domain) == GoodRates(controls=len(controls), reason=reason)


def test_a_region_without_end_has_an_interval_within_what_was_searched() -> None:
    for controls in ([0.9] * 12, [0.9, *[0.2] * 11]):
        found = told([*controls])
        assert found.interval is not None
        low, high = found.interval
        assert 0 <= low < high <= 3 and math.isfinite(high)

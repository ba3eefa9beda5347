"""Columns whose future is known: read a horizon ahead, and nothing else of the future is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import small_config

from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data.batches import Batches
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.training.trainer import Training

LENGTHS = (60, 45)
HORIZON, WINDOW = 3, 8
NAMES = ("shop", "sold", "rain", "price", "day")
KINDS = ("mon", "tue", "sun")


def columns() -> dict[str, Any]:
    """What shops sold, with rain, the price and the kind of day: the last two are known."""
    draw, steps = np.random.default_rng(0), sum(LENGTHS)
    price = draw.normal(size=steps)
    return {
        "shop": np.repeat(["a", "b"], LENGTHS),
        "sold": 10 * price + draw.normal(size=steps),
        "rain": draw.normal(size=steps),
        "price": price,
        "day": np.array(KINDS)[np.arange(steps) % 3],
    }


def write(path: Path, table: dict[str, Any]) -> None:
    rows = [",".join(NAMES)]
    for row in zip(*(table[name] for name in NAMES), strict=True):
        rows.append(",".join("" if value is None else str(value) for value in row))
    path.write_text("\n".join(rows) + "\n")


def loaded(folder: Path, table: dict[str, Any] | None = None, **options: Any) -> Data:
    write(folder / "own.csv", table or columns())
    data = {"file": "own.csv", "id": "shop", "target": "sold", "future": ["price", "day"]}
    plain = {"kind": "forecasting", "data": data, "horizon": HORIZON, "window": WINDOW}
    return load(OwnData.model_validate({**plain, **options}), folder)


def test_each_step_tells_the_known_columns_as_they_are_a_horizon_later(tmp_path: Path) -> None:
    data, table = loaded(tmp_path, standardise=False), columns()
    assert data.info.inputs == 2 + 2 * 4  # sold, rain; price and three days, now and later
    ends = np.cumsum(LENGTHS)
    for part in data.parts:
        for start, length in zip(part.starts, part.lengths, strict=True):
            at = np.arange(start, start + length)
            own = ends[np.searchsorted(ends, start, side="right")]
            assert at[-1] + HORIZON < own, "what is read is of this series"
            x = part.x[at]
            np.testing.assert_allclose(x[:, 2], table["price"][at], rtol=1e-5)
            np.testing.assert_allclose(x[:, 6], table["price"][at + HORIZON], rtol=1e-5)
            shown = np.array(KINDS)[[["mon", "sun", "tue"].index(d) for d in table["day"][at]]]
            assert shown.shape == (WINDOW,)
            codes = [sorted(KINDS).index(day) for day in table["day"][at + HORIZON]]
            np.testing.assert_array_equal(x[:, 7:].argmax(axis=1), codes)


def forecasts(training: Training) -> Any:
    part = training.data.test
    batches, model = Batches(part, "forecasting"), training.best_model()
    found = np.zeros((len(part), HORIZON))
    for chosen in batches.ordered_choices():
        batch = batches.batch(chosen)
        with torch.inference_mode():
            found[chosen] = model(batch.x, batch.lengths)
    return found


CHANGED = 52  #: a step of the first series, in its test part


@pytest.mark.parametrize(("column", "ahead"), [("sold", 0), ("rain", 0), ("price", HORIZON)])
def test_a_changed_future_changes_no_forecast_that_does_not_know_it(
    column: str, ahead: int, tmp_path: Path
) -> None:
    """The target and past covariates from their step on; known columns a horizon before it."""
    before, table = loaded(tmp_path), columns()
    table[column][CHANGED : LENGTHS[0]] += 500.0
    after = loaded(tmp_path, table)
    one, other = (Training(small_config(max_epochs=2), data, seed=1) for data in (before, after))
    one.advance(2)
    other.advance(2)
    assert torch.equal(one.weights, other.weights), "training does not look at the test part"
    origins = before.test.starts + WINDOW - 1
    blind = (origins + ahead < CHANGED) | (origins >= LENGTHS[0])
    assert 0 < blind.sum() < len(blind)
    found, changed = forecasts(one), forecasts(other)
    np.testing.assert_array_equal(found[blind], changed[blind])
    assert not np.isclose(found[~blind], changed[~blind]).all(axis=1).any()


def test_known_prices_are_of_use(tmp_path: Path) -> None:
    """What is sold follows the price of the day alone, which only their future tells."""
    config = small_config(depth=1, dropout=0.0, hidden_size=12, learning_rate=0.02)
    errors = []
    for future in (["price"], None):
        section = {"file": "own.csv", "id": "shop", "target": "sold", "features": ["rain"]}
        section |= {"future": future} if future else {}
        training = Training(config, loaded(tmp_path, data=section), seed=0)
        training.advance(30)
        errors.append(training.evaluate("test")["mae"])
    assert errors[0] < 0.75 * errors[1]


def rows_ahead(table: dict[str, Any], history: int, ahead: int) -> dict[str, Any]:
    """The first steps of the first series, then steps of which the known columns alone are."""
    found = {name: list(values[: history + ahead]) for name, values in table.items()}
    for name in ("sold", "rain"):
        found[name][history:] = [None] * ahead
    return found


def test_new_series_are_read_as_windows_of_training(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    at = int(data.test.starts[0])
    write(tmp_path / "new.csv", rows_ahead(columns(), at + WINDOW, HORIZON + 2))
    found, ragged = read_new(tmp_path / "new.csv", data.info)
    assert found.lengths.tolist() == [WINDOW] and ragged.lengths.tolist() == [at + WINDOW]
    wanted = data.test.x[at : at + WINDOW]
    np.testing.assert_array_equal(found.unscaled()[:], wanted)


def lacking_price(table: dict[str, Any]) -> dict[str, Any]:
    table["price"][-1] = None
    return table


REFUSED = {
    "no steps ahead": (rows_ahead(columns(), 20, 0), "new.csv: row 1.*must end with 3 rows"),
    "too few": (rows_ahead(columns(), 20, 2), "this one has 2 of them"),
    "no past": (rows_ahead(columns(), 0, 5), "after 0 steps with a target"),
    "no price": (lacking_price(rows_ahead(columns(), 20, 3)), "new.csv: row 23: price"),
}


@pytest.mark.parametrize(("table", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_forecast_demands_what_is_known_ahead(
    table: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    data = loaded(tmp_path)
    write(tmp_path / "new.csv", table)
    with pytest.raises(InputError, match=rule):
        read_new(tmp_path / "new.csv", data.info)


@pytest.mark.parametrize(
    ("section", "options", "rule"),
    [
        ({"future": []}, {}, "must not be empty"),
        ({"features": ["price"]}, {}, "a column must play one part"),
        ({"file": "own.npz", "id": None, "target": None}, {}, "future must be a column of a table"),
        ({}, {"window": 2, "horizon": 3}, "window must be at least the horizon"),
        ({"future": ["hour"]}, {}, "hour"),
        ({}, {"kind": "regression", "horizon": None, "window": None}, "for forecasting alone"),
    ],
)
def test_what_tells_no_future_is_refused(
    section: dict[str, Any], options: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    data = {"file": "own.csv", "id": "shop", "target": "sold", "future": ["price"], **section}
    with pytest.raises((InputError, ValueError), match=rule):
        loaded(tmp_path, data={k: v for k, v in data.items() if v is not None}, **options)

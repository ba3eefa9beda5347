"""The table of hyperparameters: what its rows promise, and what follows from them."""

from typing import get_args

import pytest

from spaces.cells import CELLS
from spaces.config import TrialConfig
from spaces.domains import describe, plain, read
from spaces.hyperparameters import DEFAULTS, HYPERPARAMETERS, Hyperparameter
from spaces.space import Space

ROWS = pytest.mark.parametrize("row", HYPERPARAMETERS.values(), ids=lambda row: row.name)


def test_every_field_of_a_configuration_has_its_row_and_the_other_way_round() -> None:
    assert TrialConfig.model_fields.keys() == {"cell", "gates", *HYPERPARAMETERS}


def test_every_searchable_row_is_a_key_of_a_space_and_the_other_way_round() -> None:
    searchable = {row.name for row in HYPERPARAMETERS.values() if row.searchable}
    assert Space.model_fields.keys() == {"parameters", *searchable}


@ROWS
def test_what_is_tried_by_default_keeps_the_rule(row: Hyperparameter) -> None:
    assert read(row.rule, plain(row.tried)) == row.tried
    if row.default is not ...:
        assert row.rule.check(row.default) == row.default
        # By default a bias is zero or one, by the cell; both are tried.
        assert row.default in row.tried or (row.name, row.default) == ("forget_bias", "default")


@ROWS
def test_a_configuration_has_the_default_and_the_values_of_the_row(row: Hyperparameter) -> None:
    field = TrialConfig.model_fields[row.name]
    assert field.is_required() is (row.default is ...)
    if not field.is_required():
        assert field.default == row.default
    if row.rule.kind == "name":
        allowed = get_args(field.annotation)
        if row.rule.nullable:
            (allowed,) = (get_args(each) for each in allowed if each is not type(None))
        assert allowed == row.rule.names


@ROWS
def test_what_not_every_cell_reads_has_a_default_for_the_others(row: Hyperparameter) -> None:
    reading = {cell.name for cell in CELLS if cell.reads(row.name)}
    assert reading
    assert row.default is not ... or len(reading) == len(CELLS)


@ROWS
def test_a_description_names_the_default(row: Hyperparameter) -> None:
    if row.searchable:
        text = Space.model_fields[row.name].description
        home = f"training.{row.name}" if row.training else describe(DEFAULTS[row.name])
        assert text is not None
        assert text.endswith(f"Default: {home}.")

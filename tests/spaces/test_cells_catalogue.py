"""The catalogue: every row is complete, and its formula is its count."""

import pickle
import re
from collections import Counter

import pytest
from pydantic import TypeAdapter

from spaces.cells import CELLS, Cell, default_gates, families, find, parse, variants
from spaces.errors import InputError
from spaces.fields import Name


def by_name(cell: Cell) -> str:
    return cell.name


def value_of(formula: str, inputs: int, hidden: int, width: int) -> int:
    """Return the value of a formula as people write it: 4A + 3H, A+2(H²+H), 12H² + 13H."""
    block = inputs * hidden + hidden**2 + hidden
    values = {"I": inputs, "H": hidden, "A": block, "P": width}
    text = formula.replace("²", "**2").replace("³", "**3")
    text = re.sub(r"(?<=[\dA-Z)])\s*(?=[A-Z(])", "*", text)
    assert re.fullmatch(r"[\dIHAP+*/() -]+", text), text
    return int(eval(text, {"__builtins__": {}}, values))


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_the_formula_of_a_cell_is_its_count(cell: Cell) -> None:
    for inputs, hidden in [(1, 1), (3, 8), (12, 5), (8, 8), (7, 64)]:
        wide = hidden if cell.square else inputs
        expected = value_of(cell.formula, wide, hidden, cell.width(hidden))
        assert cell.count(wide, hidden) == expected


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_every_row_has_equations_of_its_output_and_a_dated_source(cell: Cell) -> None:
    siblings = {other.gates for other in variants(cell.family)}
    based_on = re.search(r"^(?P<whole>[\w-]+) with|h as in (?P<h>[\w-]+)", cell.equations)
    assert "h = " in cell.equations or (based_on and siblings & set(based_on.groups()))
    assert re.search(r"\b(19|20)\d\d\b", cell.source)
    TypeAdapter(Name).validate_python(cell.name)


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_a_cell_is_found_by_its_names(cell: Cell) -> None:
    assert find(cell.family, cell.gates) is cell
    assert parse(cell.name) is cell
    assert cell in variants(cell.family)


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_a_cell_grows_with_its_hidden_size(cell: Cell) -> None:
    sizes = [cell.count(hidden if cell.square else 5, hidden) for hidden in range(1, 40)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("cell", CELLS, ids=by_name)
def test_a_cell_travels_to_another_process_as_itself(cell: Cell) -> None:
    assert pickle.loads(pickle.dumps(cell)) is cell  # noqa: S301


def test_no_cell_is_listed_twice() -> None:
    assert max(Counter(cell.name for cell in CELLS).values()) == 1


def test_names_of_families_have_no_dash_so_that_gates_can_follow_one() -> None:
    assert not [family for family in families() if "-" in family]


def test_a_family_alone_means_its_first_row() -> None:
    assert find("lstm").gates == default_gates("lstm") == "standard"
    assert parse("gru").gates == "reset-after"


@pytest.mark.parametrize(
    ("name", "rule", "near"),
    [
        ("ltsm", "there is no cell 'ltsm'", "did you mean lstm?"),
        ("LSTM", "there is no cell 'LSTM'", "did you mean lstm?"),
        ("gru-reset-aftr", "gru has no gate variant 'reset-aftr'", "did you mean reset-after?"),
        ("", "there is no cell ''", "gatesearch cells"),
        ("x" * 10_000, "there is no cell 'xxx", "gatesearch cells"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(name: str, rule: str, near: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(name)
    (problem,) = caught.value.problems
    assert problem.rule.startswith(rule)
    assert near in problem.remedy
    assert len(str(problem)) < 1000


def test_what_a_row_says_of_gates_and_width_answers_what_the_cell_reads() -> None:
    coupled, slim = find("lstm", "coupled"), find("gru", "slim-2")
    assert coupled.retain_gates == {"i": -1} and coupled.forget_gate
    assert not slim.retain_gates and not slim.forget_gate
    assert [find("lstm", "projected").width(hidden) for hidden in (8, 9)] == [4, 5]
    assert find("lstm").width(9) == 9


def test_square_recurrent_cells_and_those_of_times_run_in_one_direction_alone() -> None:
    one_way = {cell.name for cell in CELLS if not cell.bidirectional}
    of_times = {"gru-d", "cfc-standard", "cfc-no-gate", "cfc-pure"}
    assert one_way == {"gru-mut1", "gru-mut2", "ugrnn-intersection", "linear-sru"} | of_times

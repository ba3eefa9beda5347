"""Hypothesis strategies for job files: valid spaces, arms and whole jobs, as plain data."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from spaces import class_weights
from spaces.cells import CELLS, families, variants
from spaces.hyperparameters import HYPERPARAMETERS, Hyperparameter

# On a machine that other work shares, an example may take any time.
settings.register_profile("gatesearch", deadline=None)
settings.load_profile("gatesearch")

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


def domains(single: st.SearchStrategy[Any], *, ordered: bool = True) -> st.SearchStrategy[Any]:
    """Draw a single value, choices, or (ordered) a range, as a job file has them."""
    choices = st.lists(single, min_size=1, max_size=4, unique_by=repr)
    forms = [single, choices.map(lambda chosen: {"choices": chosen})]
    if ordered:
        ends = st.tuples(single, single).map(sorted)
        forms.append(ends.map(lambda pair: {"low": pair[0], "high": pair[1]}))
    return st.one_of(forms)


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw finite reals, neither so small nor so near to the ends that they round away."""
    return st.floats(low, high, allow_subnormal=False)


#: What a value is drawn from where its rule alone would allow too much.
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "depth": st.integers(1, 6),
    "hidden_size": st.integers(1, 40).map(lambda k: 8 * k),
    "heads": st.sampled_from([1, 2, 4, 8]),  # they divide every hidden size
    "max_epochs": st.integers(2, 100),
}
_WITHOUT_RANGES = ("hidden_size", "heads")  # not every value in a range would do
_OF_SOME = ("class_weights", "carry_state")  #: refused by tasks without classes, or by cells


def values(row: Hyperparameter) -> st.SearchStrategy[Any]:
    """Draw a single value of a hyperparameter."""
    rule = row.rule
    if row.name in _VALUES:
        return _VALUES[row.name]
    if rule.kind == "flag":
        return st.booleans()
    if rule.kind == "name":
        return st.sampled_from(rule.names)
    if rule.kind == "weights":
        figures = st.floats(0.1, 9)
        mappings = st.dictionaries(st.text("abc1", min_size=1), figures, min_size=1, max_size=3)
        written = st.one_of(mappings, st.lists(figures, min_size=1, max_size=3))
        return st.just("balanced") | written.map(class_weights.canonical)
    if rule.kind == "integer":
        return st.integers(rule.at_least, 512)
    low = 1e-6 if rule.at_least is None else rule.at_least
    return reals(low, 0.9 if rule.below == 1 else 1.0)


def keys(row: Hyperparameter) -> st.SearchStrategy[Any]:
    """Draw what a space may have for a hyperparameter."""
    single = values(row)
    found = domains(single, ordered=row.rule.ordered and row.name not in _WITHOUT_RANGES)
    if row.rule.above == 0:
        ends = st.tuples(single, single).map(sorted)
        found |= ends.map(lambda pair: {"low": pair[0], "high": pair[1], "log": True})
    return st.none() | found if row.rule.nullable else found


def spaces(*, causal: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a valid space that fits every cell."""
    rows = [
        row
        for row in HYPERPARAMETERS.values()
        if row.searchable and (row.need is None or row.need.warn_only) and row.name not in _OF_SOME
    ]
    one_way = {"bidirectional"} if causal else set()
    return st.fixed_dictionaries(
        {}, optional={row.name: keys(row) for row in rows if row.name not in one_way}
    )


def settings_with_needs() -> st.SearchStrategy[dict[str, Any]]:
    """Draw settings that not every cell reads, so that they do not fit every arm."""
    rows = [row for row in HYPERPARAMETERS.values() if row.need and not row.need.warn_only]
    return st.fixed_dictionaries({}, optional={row.name: keys(row) for row in rows})


def arms(*, causal: bool = False) -> st.SearchStrategy[Any]:
    """Draw an arm in any of its forms. Only names are drawn here; space fits every cell."""
    two_way = [cell for cell in CELLS if cell.bidirectional]
    names = st.sampled_from([cell.name for cell in two_way] + sorted({c.family for c in two_way}))

    @st.composite
    def with_gates(draw: st.DrawFn) -> dict[str, Any]:
        family = draw(st.sampled_from(sorted({cell.family for cell in two_way})))
        gates = [cell.gates for cell in variants(family) if cell.bidirectional]
        chosen = draw(st.lists(st.sampled_from(gates), min_size=1, unique=True))
        return {"cell": family, "gates": chosen}

    @st.composite
    def pooled(draw: st.DrawFn) -> dict[str, Any]:
        pool = [family for family in families() if variants(family)[0].bidirectional]
        chosen = draw(st.lists(st.sampled_from(pool), min_size=1, unique=True))
        cells = [draw(st.sampled_from([name, {"cell": name}])) for name in chosen]
        return {"cells": cells}

    long = st.one_of(names.map(lambda name: {"cell": name}), with_gates(), pooled())
    named = st.builds(lambda arm, name: {**arm, "name": name}, long, NAMES)
    own = st.builds(lambda arm, space: {**arm, "space": space}, named, spaces(causal=causal))
    return st.one_of(names, named, own)


def drafts() -> st.SearchStrategy[dict[str, Any]]:
    """Draw what the number of parameters depends on besides the hidden size."""
    cells = st.sampled_from(CELLS).map(lambda cell: {"cell": cell.family, "gates": cell.gates})
    rest = st.fixed_dictionaries(
        {
            "depth": st.integers(1, 50),
            "bidirectional": st.booleans(),
            "heads": st.sampled_from([1, 2, 4, 8]),
        }
    )
    return st.builds(lambda cell, sizes: {**cell, **sizes}, cells, rest)


def title(arm: Any) -> str:
    """Return the name of an arm as drawn."""
    return arm if isinstance(arm, str) else arm["name"]


def jobs() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a valid job."""

    @st.composite
    def job(draw: st.DrawFn) -> dict[str, Any]:
        task, causal = draw(
            st.sampled_from(
                [
                    ({"name": "japanese-vowels"}, False),
                    ({"name": "adding", "length": 12, "seed": 3}, False),
                    ({"name": "symbolic", "complexity": 20}, True),
                    ({"name": "characters", "limit": 5000, "metric": "accuracy"}, True),
                    ({"kind": "next-step", "data": "rolls.npz"}, True),
                    ({"kind": "classification", "data": "a/b.npz", "metric": "loss"}, False),
                ]
            )
        )
        found = {
            "name": draw(NAMES),
            "task": task,
            "arms": draw(st.lists(arms(causal=causal), min_size=1, max_size=4, unique_by=title)),
        }
        rest = draw(st.fixed_dictionaries({}, optional=_SECTIONS))
        space = draw(spaces(causal=causal))
        if "training" in rest:  # a key is in one of the two
            fixed = rest["training"].items()
            rest["training"] = {key: value for key, value in fixed if key not in space}
        return {**found, **rest, "space": space}

    return job()


_PRUNERS = st.sampled_from(
    [
        "none",
        "median",
        {"kind": "successive-halving", "reduction": 2},
        {"kind": "hyperband", "min_epochs": 2},
        {"kind": "patient", "patience": 9},
    ]
)
_SECTIONS: dict[str, st.SearchStrategy[Any]] = {
    "training": st.fixed_dictionaries(
        {},
        optional={
            **{
                row.name: values(row)
                for row in HYPERPARAMETERS.values()
                if row.training and row.name not in _OF_SOME
            },
            "seed": st.none() | st.integers(0, 2**70),
        },
    ),
    "search": st.fixed_dictionaries(
        {"sampler": st.sampled_from(["tpe", "random", "GPSampler", "own.samplers.Mine"])},
        optional={
            "trials": st.integers(1, 10**6),
            "pruner": _PRUNERS,
            "control_fraction": reals(0.0, 1.0),
            "wall_clock": reals(1.0, 1e6),
            "prior": st.sampled_from(["literature", "jobs", "none"]),
        },
    ),
    "confirm": st.fixed_dictionaries({}, optional={"finalists": st.integers(0, 9)}),
    "resources": st.fixed_dictionaries(
        {}, optional={"gpus_per_trial": st.sampled_from([0, 0.5, "auto"])}
    ),
    "tracking": st.fixed_dictionaries({"uri": st.sampled_from([None, "http://127.0.0.1:5000"])}),
}

"""Hypothesis strategies for job files: valid spaces, arms and whole jobs, as plain data."""

from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from spaces.cells import CELLS, families, variants
from spaces.hyperparameters import ForgetBias, RecurrentInit

# How long an example may take says nothing on a machine that other work shares.
settings.register_profile("gatesearch", deadline=None)
settings.load_profile("gatesearch")

NAMES = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)


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


def spaces(*, causal: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a valid space. Hidden sizes are multiples of 8, and heads divide them."""
    sizes = st.integers(1, 40).map(lambda k: 8 * k)
    positive = reals(1e-6, 1.0)
    logarithmic = st.tuples(positive, positive).map(sorted)
    rate = logarithmic.map(lambda pair: {"low": pair[0], "high": pair[1], "log": True})
    keys: dict[str, st.SearchStrategy[Any]] = {
        "depth": domains(st.integers(1, 6)),
        "hidden_size": domains(sizes, ordered=False),
        "learning_rate": st.one_of(domains(positive), rate),
        "dropout": domains(reals(0.0, 0.9)),
        "residual": domains(st.booleans(), ordered=False),
        "heads": domains(st.sampled_from([1, 2, 4, 8]), ordered=False),
        "weight_decay": domains(reals(0.0, 0.1)),
    }
    if not causal:
        keys["bidirectional"] = domains(st.booleans(), ordered=False)
    return st.fixed_dictionaries({}, optional=keys)


def recurrent_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Draw settings that not every cell reads, so that they do not fit every arm."""
    names = {"forget_bias": get_args(ForgetBias), "recurrent_init": get_args(RecurrentInit)}
    keys: dict[str, st.SearchStrategy[Any]] = {
        key: domains(st.sampled_from(values), ordered=False) for key, values in names.items()
    }
    keys |= {key: domains(reals(0.0, 0.9)) for key in ("weight_drop", "zoneout")}
    return st.fixed_dictionaries({}, optional=keys)


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
        rest = st.fixed_dictionaries({}, optional=_SECTIONS)
        return {**found, **draw(rest), "space": draw(spaces(causal=causal))}

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
            "batch_size": st.integers(1, 512),
            "max_epochs": st.integers(2, 100),
            "optimizer": st.sampled_from(["adam", "adamw", "sgd", "rmsprop"]),
            "gradient_clip": st.none() | reals(1e-3, 100.0),
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
        },
    ),
    "confirm": st.fixed_dictionaries({}, optional={"finalists": st.integers(0, 9)}),
    "resources": st.fixed_dictionaries({}, optional={"gpus_per_trial": st.sampled_from([0, 0.5])}),
    "tracking": st.fixed_dictionaries({"uri": st.sampled_from([None, "http://127.0.0.1:5000"])}),
}

"""Arms: every configuration that an arm can make is valid, and asked for by the rules."""

import random
from typing import Any

import pytest
from drawn_spaces import arms, settings_with_needs, spaces
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from spaces.arm_section import ArmSection, ArmWritten
from spaces.arms import Arm
from spaces.cells import CELLS, Cell, find
from spaces.config import TrialConfig, completed
from spaces.domains import Choices, Domain, Fixed, Range
from spaces.hyperparameters import DEFAULTS, FIXED_BY_TRAINING, HYPERPARAMETERS
from spaces.sizes import parameters
from spaces.space import Space

TRAINING: dict[str, Domain] = {key: HYPERPARAMETERS[key].tried for key in FIXED_BY_TRAINING}


def make(written: Any, space: dict[str, Any] | None = None) -> Arm:
    section: ArmSection = TypeAdapter(ArmWritten).validate_python(written)
    shared, budget = Space.model_validate(space or {}).over({**DEFAULTS, **TRAINING}, None)
    return section.resolve(shared, budget, max_epochs=7)


class Answers:
    """Answers questions at random, remembers them, and holds the asker to the rules."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.asked: dict[str, tuple[Domain, Any]] = {}

    def __call__(self, name: str, domain: Domain) -> Any:
        assert name not in self.asked, f"{name} is asked twice"
        match domain:
            case Choices(chosen):
                answer: Any = self._random.choice(chosen)
            case Range(low, high, integer=True):
                answer = self._random.randint(int(low), int(high))
            case Range(low, high):
                answer = min(max(self._random.uniform(low, high), low), high)
            case Fixed():
                raise AssertionError(f"{name} is fixed and was asked for")
        self.asked[name] = (domain, answer)
        return answer


@given(arms(), spaces(), settings_with_needs(), st.integers())
def test_every_configuration_lies_within_its_arm(
    written: Any, space: dict[str, Any], settings: dict[str, Any], seed: int
) -> None:
    arm, answers = make(written, {**space, **settings}), Answers(seed)
    assume(not arm.faults(causal=False))
    config = arm.configure(answers)
    cell = find(config.cell, config.gates)
    assert cell in arm.cells
    assert config.max_epochs == 7
    for key, domain in arm.space.items():
        if cell.reads(key) and (key != "bidirectional" or cell.bidirectional):
            assert getattr(config, key) in domain, key
        elif key != "bidirectional":
            assert key not in answers.asked
            assert getattr(config, key) == TrialConfig.model_fields[key].default
    for name, (_, answer) in answers.asked.items():
        if name in TrialConfig.model_fields and name not in ("cell", "gates"):
            assert getattr(config, name) == answer
    assert not cell.attention or config.hidden_size % config.heads == 0


@given(arms(), spaces(), st.lists(st.integers(), min_size=2, max_size=6))
def test_a_name_always_has_the_same_domain(
    written: Any, space: dict[str, Any], seeds: list[int]
) -> None:
    arm = make(written, space)
    for seed in seeds:
        answers = Answers(seed)
        arm.configure(answers)
        for name, (domain, _) in answers.asked.items():
            assert arm.domains()[name] == domain


@given(arms(), spaces(), st.integers())
def test_the_same_answers_make_the_same_configuration_in_the_same_order(
    written: Any, space: dict[str, Any], seed: int
) -> None:
    arm, first, second = make(written, space), Answers(seed), Answers(seed)
    assert arm.configure(first) == arm.configure(second)
    assert list(first.asked) == list(second.asked)


@given(arms(), spaces(), st.integers(2_000, 50_000), st.integers())
def test_a_budget_is_met_by_every_configuration_of_a_checked_arm(
    written: Any, space: dict[str, Any], target: int, seed: int
) -> None:
    space.pop("hidden_size", None)
    space["parameters"] = {"target": target, "tolerance": 0.1}
    arm = make(written, space).bind(inputs=12, outputs=9)
    assume(arm.budget is not None and not arm.budget_faults())
    config = arm.configure(Answers(seed))
    assert abs(parameters(config, 12, 9) - target) <= 0.1 * target
    assert "hidden_size" not in arm.domains()


def test_a_pooled_arm_asks_for_its_cell_and_for_gates_by_branch() -> None:
    written = {
        "name": "any",
        "cells": [{"cell": "rnn", "gates": ["tanh", "relu"]}, "lstm", "transformer"],
    }
    arm = make(written, {"heads": {"choices": [1, 2]}, "depth": 1, "dropout": 0})
    assert arm.pooled
    asked = ["cell", "gates[rnn]", "hidden_size", "learning_rate", "forget_bias", "heads"]
    assert list(arm.domains()) == asked
    assert arm.domains()["cell"] == Choices(("rnn", "lstm", "transformer"))
    assert arm.domains()["gates[rnn]"] == Choices(("tanh", "relu"))


def test_heads_are_asked_for_a_transformer_alone() -> None:
    arm = make({"name": "any", "cells": ["lstm", "transformer"]}, {"heads": {"choices": [1, 2]}})
    for seed in range(20):
        answers = Answers(seed)
        config = arm.configure(answers)
        assert ("heads" in answers.asked) == (config.cell == "transformer")


def test_one_variant_that_is_not_the_default_gives_its_branch_a_name() -> None:
    arm = make({"name": "any", "cells": ["rnn-tanh", "rnn-relu", {"cell": "lstm"}]})
    assert [branch.name for branch in arm.branches] == ["rnn", "rnn-relu", "lstm"]


def test_an_arm_of_its_own_space_overrides_the_shared_one() -> None:
    arm = make({"cell": "lstm", "space": {"depth": 5}}, {"depth": {"low": 1, "high": 3}})
    assert arm.space["depth"] == Fixed(5)
    assert "depth" not in arm.domains()


def test_a_size_of_the_arm_lifts_the_shared_budget_and_the_other_way_round() -> None:
    budget = {"parameters": {"target": 5000}}
    assert make({"cell": "lstm", "space": {"hidden_size": 8}}, budget).budget is None
    arm = make({"cell": "lstm", "space": budget}, {"hidden_size": 8})
    assert arm.budget is not None
    assert "hidden_size" not in arm.space


def test_an_arm_with_a_budget_must_be_bound_before_it_configures() -> None:
    with pytest.raises(RuntimeError, match="bind"):
        make("lstm", {"parameters": {"target": 5000}}).configure(Answers(0))


def test_a_budget_that_cannot_be_met_names_combination_nearest_count_and_remedy() -> None:
    space = {"depth": {"low": 1, "high": 4}, "parameters": {"target": 1500, "tolerance": 0.04}}
    (fault,) = make("lstm", space).bind(12, 9).budget_faults()
    assert fault.path == ("parameters",)
    assert "1,500 parameters ± 4.00%" in fault.rule
    assert "lstm-standard of depth 2 comes nearest with 1,566 (hidden_size 9)" in fault.rule
    assert "write a depth of 1, 3 or 4, or widen the tolerance to" in fault.remedy
    tolerance = float(fault.remedy.split("tolerance to ")[1].split(",")[0])
    wider = {**space, "parameters": {"target": 1500, "tolerance": tolerance}}
    assert not make("lstm", wider).bind(12, 9).budget_faults()


def test_a_budget_over_a_vast_range_of_depths_is_answered_at_once() -> None:
    space = {"depth": {"low": 1, "high": 10**12}, "parameters": {"target": 20_000}}
    (fault,) = make("lstm", space).bind(12, 9).budget_faults()
    assert "of depth 1000000000000 comes nearest" in fault.rule
    assert len(fault.rule) < 1000


@pytest.mark.parametrize("value", [True, {"choices": [True, False]}])
@pytest.mark.parametrize("cell", ["lstm", "transformer"])
def test_nothing_sees_the_future_of_a_causal_task(cell: str, value: Any) -> None:
    (fault,) = make(cell, {"bidirectional": value}).faults(causal=True)
    assert fault.path == ("bidirectional",)
    assert "see the future" in fault.rule


@pytest.mark.parametrize(
    ("space", "culprit"),
    [
        ({"hidden_size": 30}, "hidden_size 30 of arm transformer must be divisible by its 4 heads"),
        ({"hidden_size": {"choices": [16, 30]}}, "hidden_size 30"),
        ({"hidden_size": {"low": 16, "high": 64}}, "hidden_size 17"),
        ({"hidden_size": 12, "heads": {"choices": [2, 8]}}, "its 8 heads"),
        ({"hidden_size": 12, "heads": {"low": 1, "high": 10**12}}, "its 5 heads"),
    ],
)
def test_heads_divide_the_width_of_a_transformer(space: dict[str, Any], culprit: str) -> None:
    (fault,) = make("transformer", space).faults(causal=False)
    assert culprit in fault.rule


def test_any_width_is_fine_with_one_head_or_without_attention() -> None:
    assert not make("transformer", {"hidden_size": {"low": 1, "high": 9}, "heads": 1}).faults(
        causal=False
    )
    assert not make("lstm", {"hidden_size": 17}).faults(causal=False)


def test_a_budget_over_more_combinations_than_can_be_checked_is_refused() -> None:
    budget = {"target": 10**12, "tolerance": 0.9}
    space = {"depth": {"low": 1, "high": 10**7}, "parameters": budget}
    (fault,) = make("lstm", space).bind(12, 9).budget_faults()
    assert "at most 10,000 combinations" in fault.rule


def test_a_depth_that_fails_with_some_heads_is_not_proposed() -> None:
    space = {"depth": {"low": 1, "high": 2}, "heads": {"choices": [1, 64]}}
    arm = make("transformer", {**space, "parameters": {"target": 20_000, "tolerance": 0.1}})
    (fault,) = arm.bind(12, 9).budget_faults()
    assert "write a depth" not in fault.remedy


#: Settings that not every cell reads, each with a value that is not its default.
UNUSUAL: dict[str, Any] = {
    row.name: row.rule.names[-1] if row.rule.kind == "name" else 0.1
    for row in HYPERPARAMETERS.values()
    if row.need is not None and not row.need.warn_only
}


@pytest.mark.parametrize("setting", UNUSUAL)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_setting_without_a_meaning_for_a_cell_is_refused(cell: Cell, setting: str) -> None:
    default, unusual = TrialConfig.model_fields[setting].default, UNUSUAL[setting]
    for value in (unusual, {"choices": [default, unusual]}):
        found = make({"cell": cell.name}, {setting: value}).faults(causal=False)
        assert [fault.path for fault in found] == ([] if cell.reads(setting) else [(setting,)])
        for fault in found:
            assert f"{setting} must be left out in arm {cell.name}" in fault.rule
            assert f"write space: {{{setting}: {default}}} in this arm" in fault.remedy
    assert not make({"cell": cell.name}, {setting: default}).faults(causal=False)


@pytest.mark.parametrize("setting", UNUSUAL)
def test_what_the_remedy_says_mends_it(setting: str) -> None:
    default = TrialConfig.model_fields[setting].default
    arm = make({"cell": "transformer", "space": {setting: default}}, {setting: UNUSUAL[setting]})
    assert not arm.faults(causal=False)


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        ({"cell": "lstm", "gates": ["standard", "no-forget-gate"]}, {"standard"}),
        ({"cell": "gru", "gates": ["slim-1", "slim-2", "light"]}, {"slim-1", "light"}),
        ({"name": "any", "cells": ["rnn", "lstm", "transformer"]}, {"standard"}),
    ],
)
def test_a_setting_is_asked_for_the_cells_that_read_it_alone(
    written: Any, reading: set[str]
) -> None:
    arm = make(written, {"forget_bias": {"choices": ["zero", "chrono"]}})
    assert not arm.faults(causal=False)
    assert arm.domains()["forget_bias"] == Choices(("zero", "chrono"))
    for seed in range(20):
        answers = Answers(seed)
        config = arm.configure(answers)
        assert ("forget_bias" in answers.asked) == (config.gates in reading)
        assert (config.forget_bias == "default") == (config.gates not in reading)


def test_both_starts_of_a_gate_that_retains_the_past_are_tried_by_default() -> None:
    assert make("lstm").domains()["forget_bias"] == Choices(("zero", "one"))
    assert make("gru").domains()["forget_bias"] == Choices(("zero", "one"))
    assert "forget_bias" not in make("rnn").domains()
    assert "forget_bias" not in make("lstm-no-forget-gate").domains()
    assert "forget_bias" not in make("lstm", {"forget_bias": "one"}).domains()


def test_a_stored_configuration_of_an_earlier_version_gets_the_defaults() -> None:
    config = make("lstm", {"forget_bias": "default"}).configure(Answers(0)).model_dump(mode="json")
    earlier = {key: value for key, value in config.items() if key not in UNUSUAL}
    assert completed(earlier) == config
    assert completed(config) == config

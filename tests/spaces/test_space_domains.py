"""Domains: what a key of a space may be, and what is refused."""

from typing import Any

import pytest
from drawn_spaces import spaces
from hypothesis import given
from pydantic import ValidationError

from spaces.domains import Choices, Domain, Fixed, Range, values
from spaces.fields import Fault
from spaces.space import Space


def read(key: str, written: Any) -> Domain:
    domain: Domain = getattr(Space.model_validate({key: written}), key)
    return domain


def faults(space: dict[str, Any]) -> list[Fault]:
    with pytest.raises(ValidationError) as caught:
        Space.model_validate(space)
    return [
        fault.below(*error["loc"])
        for error in caught.value.errors()
        for fault in error["ctx"]["faults"]
    ]


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("depth", 2, Fixed(2)),
        ("depth", {"low": 1, "high": 3}, Range(1, 3, integer=True)),
        ("depth", {"low": 2, "high": 2}, Fixed(2)),
        ("hidden_size", {"choices": [16, 64]}, Choices((16, 64))),
        ("hidden_size", {"choices": [16]}, Fixed(16)),
        ("hidden_size", 10**30, Fixed(10**30)),
        ("hidden_size", {"low": 8, "high": 512, "log": True}, Range(8, 512, True, True)),
        ("learning_rate", 1, Fixed(1.0)),
        ("learning_rate", {"low": 1e-4, "high": 1, "log": True}, Range(1e-4, 1.0, log=True)),
        ("dropout", 0, Fixed(0.0)),
        ("residual", {"choices": [False, True]}, Choices((False, True))),
        ("optimizer", {"choices": ["adam", "sgd"]}, Choices(("adam", "sgd"))),
        ("gradient_clip", None, Fixed(None)),
        ("gradient_clip", {"choices": [None, 1]}, Choices((None, 1.0))),
    ],
)
def test_a_key_is_read_in_all_its_forms(key: str, written: Any, expected: Domain) -> None:
    domain = read(key, written)
    assert domain == expected
    assert type(getattr(domain, "value", None)) is type(getattr(expected, "value", None))


@pytest.mark.parametrize(
    ("key", "written", "path", "rule", "remedy"),
    [
        ("depth", 0, (), "at least 1, not 0", "at least 1"),
        ("depth", 1.5, (), "whole number", "whole number"),
        ("depth", True, (), "not true", "whole number"),
        ("depth", "3", (), "not '3'", "without quotes: 3"),
        ("depth", None, (), "not null", "whole number"),
        ("depth", [1, 2], (), "not a list", "{choices: [1, 2]}"),
        ("depth", {}, (), "low is missing", "choices"),
        ("depth", {"low": 1}, (), "high is missing", "both low and high"),
        ("depth", {"low": 3, "high": 1}, (), "low 3 must not be above high 1", "exchange"),
        ("depth", {"low": 1, "high": 2, "log": 1}, ("log",), "true or false", "true or false"),
        ("depth", {"min": 1, "high": 2}, ("min",), "unknown key 'min'", "did you mean low?"),
        ("depth", {"low": 1, "high": 2, "step": 1}, ("step",), "unknown key", "low, high, log"),
        ("depth", {"choices": []}, ("choices",), "at least one value", "[a, b]"),
        ("depth", {"choices": 4}, ("choices",), "not 4", "write [4]"),
        ("depth", {"choices": [1, 2, 1]}, ("choices", 2), "1 must be listed once", "remove"),
        ("depth", {"choices": [1], "low": 1}, (), "stand alone", "one of the two"),
        ("learning_rate", 0, (), "above 0, not 0", "above 0"),
        ("learning_rate", "1e-3", (), "'1e-3'", "without quotes: 1e-3"),
        ("learning_rate", float("nan"), (), "not nan", "a number above 0"),
        ("learning_rate", float("inf"), (), "not inf", "a number above 0"),
        ("learning_rate", 10**400, (), "a number of more than 60 digits", "a number above 0"),
        ("weight_decay", {"low": 0, "high": 1, "log": True}, ("low",), "logarithmic", "above 0"),
        ("dropout", 1, (), "below 1, not 1", "below 1"),
        ("residual", "yes", (), "true or false", "true or false"),
        ("residual", {"low": 0, "high": 1}, ("low",), "unknown key 'low'", "choices"),
        ("residual", {}, (), "choices is missing", "single value"),
        ("optimizer", "Adam", (), "'Adam'", "did you mean adam?"),
        ("gradient_clip", {"low": None, "high": 1}, ("low",), "not null", "above 0"),
    ],
)
def test_what_is_no_domain_is_refused_with_the_remedy(
    key: str, written: Any, path: tuple[str | int, ...], rule: str, remedy: str
) -> None:
    fault = faults({key: written})[0]
    assert fault.path == (key, *path)
    assert rule in fault.rule
    assert remedy in fault.remedy


def test_all_faults_of_a_domain_are_reported_at_once() -> None:
    found = faults({"depth": {"low": 0, "high": "9", "step": 2, "log": "no"}})
    assert [fault.path[-1] for fault in found] == ["step", "low", "high", "log"]


def test_a_size_and_a_budget_exclude_each_other() -> None:
    (fault,) = faults({"hidden_size": 8, "parameters": {"target": 1000}})
    assert fault.path == ("parameters",)


@given(spaces())
def test_a_space_is_what_its_dump_says(space: dict[str, Any]) -> None:
    read_once = Space.model_validate(space)
    assert Space.model_validate(read_once.dump()).domains() == read_once.domains()


def test_finite_domains_name_their_values() -> None:
    assert list(values(Range(2, 4, integer=True))) == [2, 3, 4]
    assert values(Choices((1, 2))) == (1, 2)
    assert values(Fixed(None)) == (None,)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Range(1, 3, integer=True), 3, 2.5),
        (Range(0.5, 1.0), 0.5, 0.4),
        (Range(0.0, 1.0), 1, True),
        (Choices(("a", "b")), "b", "c"),
        (Fixed(None), None, 0),
    ],
)
def test_a_domain_knows_its_members(domain: Domain, inside: Any, outside: Any) -> None:
    assert inside in domain
    assert outside not in domain

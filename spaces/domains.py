"""Domains: what one parameter may be, and how the job file writes it."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from spaces import class_weights
from spaces.fields import Fault, refusal
from spaces.text import bracketed, listed, nearest, show, suggestion, unquoted

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Fixed:
    """One value; it is never asked for."""

    value: Value

    def __contains__(self, value: object) -> bool:
        return value == self.value


@dataclass(frozen=True)
class Choices:
    """Two or more values without an order."""

    values: tuple[Value, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Range:
    """All values from low to high, both included; with log, uniform in the logarithm."""

    low: int | float
    high: int | float
    log: bool = False
    integer: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.integer or value == int(value))


Domain = Fixed | Choices | Range


def values(domain: Domain) -> tuple[Value, ...] | range:
    """Return all values of a domain that has finitely many."""
    match domain:
        case Fixed(value):
            return (value,)
        case Choices(chosen):
            return chosen
        case Range(low, high, integer=True):
            return range(int(low), int(high) + 1)
    raise ValueError(f"{domain} is continuous")


def plain(domain: Domain, rule: "Rule | None" = None) -> Any:
    """Return a domain under a rule as it stands in a job file."""
    match domain:
        case Fixed(value):
            return value if rule is None else rule.written(value)
        case Choices(chosen):
            return {"choices": list(chosen if rule is None else map(rule.written, chosen))}
        case Range(low, high, log):
            return {"low": low, "high": high, "log": log}


def describe(domain: Domain) -> str:
    """Return a domain in words, as "16, 32 or 64"."""
    match domain:
        case Fixed(value):
            return _bare(value)
        case Choices(chosen):
            return listed([_bare(value) for value in chosen], "or")
        case Range(low, high, log):
            return f"{show(low)} to {show(high)}" + (", logarithmic" if log else "")


def _bare(value: Value) -> str:
    return value if isinstance(value, str) else show(value)


@dataclass(frozen=True)
class Rule:
    """Which values a key may have.

    kind: of a single value. at_least, above, below: bounds, the latter two excluded.
    names: the values of a name. nullable: null is a value too (and means off).
    """

    kind: Literal["integer", "number", "flag", "name", "weights"]
    at_least: int | None = None
    above: int | None = None
    below: int | None = None
    names: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def ordered(self) -> bool:
        """Whether a range of such values makes sense."""
        return self.kind in ("integer", "number")

    def text(self) -> str:
        """Return what a single value must be."""
        if self.kind == "flag":
            return "true or false"
        if self.kind == "name":
            return listed([*self.names, *["null"] * self.nullable], "or")
        if self.kind == "weights":
            return f"{class_weights.FORMS}, or null"
        text = "a whole number" if self.kind == "integer" else "a number"
        bounds = []
        if self.at_least is not None:
            bounds.append(f"of at least {self.at_least}")
        if self.above is not None:
            bounds.append(f"above {self.above}")
        if self.below is not None:
            bounds.append(f"below {self.below}")
        return f"{text} {' and '.join(bounds)}" + (", or null for off" if self.nullable else "")

    def check(self, value: Any, *, alone: bool = False) -> Value:
        """Return a single value in its canonical type. Raises a refusal.

        alone: where it stands for a domain, and so choices or a range could be meant.
        """
        if value is None and self.nullable:
            return None
        checked: Value | None = None
        if (self.kind == "flag" and isinstance(value, bool)) or (
            self.kind == "name" and isinstance(value, str) and value in self.names
        ):
            checked = value
        elif self.ordered and isinstance(value, int | float) and not isinstance(value, bool):
            checked = self._number(value)
        elif self.kind == "weights":
            checked = class_weights.canonical(value)
        if checked is None:
            raise refusal(
                [Fault(f"must be {self.text()}, not {show(value)}", self._remedy(value, alone))]
            )
        return checked

    def written(self, value: Value) -> Any:
        """Return a checked value as a job file has it."""
        if self.kind == "weights" and isinstance(value, str):
            return class_weights.written(value)
        return value

    def _number(self, value: int | float) -> int | float | None:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if self.kind == "integer" and value != int(value):
            return None
        low = self.at_least is None or value >= self.at_least
        above = self.above is None or value > self.above
        below = self.below is None or value < self.below
        if not (low and above and below):
            return None
        try:
            return int(value) if self.kind == "integer" else float(value)
        except OverflowError:  # an integer that no real number can hold
            return None

    def _remedy(self, value: Any, alone: bool) -> str:
        if isinstance(value, str) and self.kind == "name":
            return suggestion(value, self.names)
        number = unquoted(value) if self.ordered else None
        if number is not None:
            return f"write it without quotes: {number}"
        if alone and isinstance(value, list) and self.kind != "weights":
            return f"for several values write {{choices: {bracketed(value)}}}"
        forms = ", or {low: …, high: …}" if alone and self.ordered else ""
        return f"write {self.text()}{forms}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a single value."""
        if self.kind == "flag":
            return {"type": "boolean"}
        if self.kind == "name":
            return {"enum": [*self.names, *[None] * self.nullable]}
        if self.kind == "weights":
            number = {"type": "number", "exclusiveMinimum": 0}
            mapping = {"type": "object", "additionalProperties": number, "minProperties": 1}
            several = {"type": "array", "items": number, "minItems": 1}
            return {"anyOf": [{"enum": [class_weights.BALANCED, None]}, mapping, several]}
        bounds = {"minimum": self.at_least, "exclusiveMinimum": self.above}
        found = {**bounds, "exclusiveMaximum": self.below}
        number = {"type": self.kind, **{k: v for k, v in found.items() if v is not None}}
        return {"anyOf": [number, {"type": "null"}]} if self.nullable else number


def schema(rule: Rule) -> dict[str, Any]:
    """Return the JSON Schema of everything that read() takes."""
    single = rule.schema()
    several = {"type": "array", "items": single, "minItems": 1, "uniqueItems": True}
    forms = [single, _object({"choices": several}, ["choices"])]
    if rule.ordered:
        end = Rule(rule.kind, rule.at_least, rule.above, rule.below).schema()
        ends = {"low": end, "high": end, "log": {"type": "boolean", "default": False}}
        forms.append(_object(ends, ["low", "high"]))
    return {"anyOf": forms}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    fixed = {"type": "object", "additionalProperties": False}
    return {**fixed, "properties": properties, "required": required}


@dataclass(frozen=True)
class DomainKey:
    """Makes a field of a section a domain under a rule."""

    rule: Rule

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda written: read(self.rule, written),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda domain: plain(domain, self.rule)
            ),
        )

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return schema(self.rule)


@dataclass(frozen=True)
class ValueKey:
    """Makes a field of a section a single value under a rule."""

    rule: Rule

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.rule.check,
            serialization=core_schema.plain_serializer_function_ser_schema(self.rule.written),
        )

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.rule.schema()


_MEANT = {"min": "low", "max": "high", "values": "choices", "options": "choices"}


def read(rule: Rule, written: Any) -> Domain:
    """Return the domain that a job file's value means. Raises a refusal with all its faults."""
    if isinstance(written, Fixed | Choices | Range):
        written = plain(written, rule)
    if not isinstance(written, dict):
        return Fixed(rule.check(written, alone=True))
    known = ("low", "high", "log", "choices") if rule.ordered else ("choices",)
    faults = []
    for key in (key for key in written if key not in known):
        near = _MEANT.get(key.lower()) or nearest(key, known)
        offer = f"did you mean {near}? Valid here: " if near in known else "valid here: "
        faults.append(Fault(f"unknown key {show(key)}", offer + listed(known), (key,)))
    if "choices" in written:
        domain = _choices(rule, written["choices"], faults)
        if not written.keys().isdisjoint(("low", "high", "log")) and rule.ordered:
            rule_text = "choices must stand alone, without low, high or log"
            faults.append(Fault(rule_text, "write one of the two forms"))
    elif rule.ordered:
        domain = _range(rule, written, faults)
    else:
        domain = None
        faults = faults or [Fault("choices is missing", "give choices, or a single value")]
    if faults or domain is None:
        raise refusal(faults)
    return domain


def _choices(rule: Rule, written: Any, faults: list[Fault]) -> Domain | None:
    """Return a domain of choices, or add its faults to `faults`."""
    if not isinstance(written, list | tuple) or not written:
        rule_text = f"must be a list of at least one value, not {show(written)}"
        remedy = f"write {bracketed(written)}"
        faults.append(Fault(rule_text, remedy, ("choices",)))
        return None
    found: dict[Value, None] = {}
    for position, value in enumerate(written):
        try:
            checked = rule.check(value)
        except PydanticCustomError as error:
            faults.extend(_inside(error, "choices", position))
            continue
        if checked in found:
            rule_text = f"{show(value)} must be listed once"
            faults.append(Fault(rule_text, "remove one of the two", ("choices", position)))
        found[checked] = None
    several = tuple(found)
    return Fixed(several[0]) if len(several) == 1 else Choices(several)


def _range(rule: Rule, written: dict[str, Any], faults: list[Fault]) -> Domain | None:
    """Return a range, or add its faults to `faults`."""
    single = replace(rule, nullable=False)
    ends: dict[str, Any] = {}
    for end in ("low", "high"):
        if end in written:
            try:
                ends[end] = single.check(written[end])
            except PydanticCustomError as error:
                faults.extend(_inside(error, end))
        elif not any(_MEANT.get(key.lower()) == end for key in written):
            form = "give both low and high, or choices, or a single value"
            faults.append(Fault(f"{end} is missing", form))
    log = written.get("log", False)
    if not isinstance(log, bool):
        rule_text = f"must be true or false, not {show(log)}"
        faults.append(Fault(rule_text, "write true or false", ("log",)))
    low, high = ends.get("low"), ends.get("high")
    if low is not None and log is True and low <= 0:
        remedy = "use a low above 0, or leave out log"
        faults.append(
            Fault(f"low of a logarithmic range must be above 0, not {show(low)}", remedy, ("low",))
        )
    if low is None or high is None:
        return None
    if low > high:
        faults.append(
            Fault(f"low {show(low)} must not be above high {show(high)}", "exchange the two")
        )
    return Fixed(low) if low == high else Range(low, high, log, integer=rule.kind == "integer")


def _inside(error: PydanticCustomError, *path: str | int) -> list[Fault]:
    assert error.context is not None
    return [fault.below(*path) for fault in error.context["faults"]]

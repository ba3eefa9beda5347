"""Messages for what validation finds: place, rule and remedy, without the validator's terms."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from search.job.yaml_lines import FieldPath, Source, dotted
from spaces.arm_section import ArmSection
from spaces.cells import families
from spaces.errors import Problem
from spaces.fields import Fault, Section
from spaces.tasks import TASKS
from spaces.text import bracketed, listed, nearest, show, suggestion, unquoted

_MOST = 50  # problems that are reported at once

#: What people write for the keys of a job file.
_MEANT = {
    "batch": "batch_size",
    "cells": "arms",
    "clip": "gradient_clip",
    "data": "task",
    "dataset": "task",
    "cpus": "cpus_per_trial",
    "direction": "bidirectional",
    "early_stopping": "patience",
    "dropconnect": "weight_drop",
    "epochs": "max_epochs",
    "file": "data",
    "gates": "arms",
    "gpus": "gpus_per_trial",
    "forget_gate_bias": "forget_bias",
    "hidden": "hidden_size",
    "hidden_dim": "hidden_size",
    "init": "recurrent_init",
    "layers": "depth",
    "lr": "learning_rate",
    "lr_schedule": "schedule",
    "model": "arms",
    "models": "arms",
    "n_trials": "trials",
    "num_layers": "depth",
    "path": "data",
    "scheduler": "schedule",
    "timeout": "wall_clock",
    "type": "kind",
    "units": "hidden_size",
    "warmup": "warm_up",
    "zone_out": "zoneout",
}

_TYPES = {
    "int_type": ("a whole number", "write a whole number"),
    "int_parsing_size": ("a whole number", "write a smaller number"),
    "float_type": ("a number", "write a number"),
    "finite_number": ("a finite number", "write a number"),
    "bool_type": ("true or false", "write true or false"),
    "string_type": ("text", "write text; in quotes where it looks like a number"),
    "tuple_type": ("a list", "write a list: [a, b]"),
    "list_type": ("a list", "write a list: [a, b]"),
    "model_type": ("a mapping", "write keys and values: {key: value}"),
    "dict_type": ("a mapping", "write keys and values: {key: value}"),
}

_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


_OF_NAMES = "be 1 to 63 of a-z, 0-9 and -"


def problems_of(error: ValidationError, source: Source, root: type[Section]) -> list[Problem]:
    """Return the problems that validation found, in the order of the file's lines."""
    found: list[tuple[int, Problem]] = []
    for detail in error.errors(include_url=False)[:_MOST]:
        location = detail["loc"]
        path = tuple(part for part in location if not _is_form(part))
        if detail["type"] == "missing":
            rule, remedy = _missing(location, root)
            found.append(
                (source.line(path), Problem(source.place(path, missing=True), rule, remedy))
            )
        elif detail["type"] == "extra_forbidden":
            path = (*(part for part in location[:-1] if not _is_form(part)), location[-1])
            found.append(_located(source, path, *_unknown(location, path, root)))
        elif detail["type"] == "refused":
            faults: tuple[Fault, ...] = detail["ctx"]["faults"]
            for fault in faults:
                found.append(_located(source, fault.below(*path).path, fault.rule, fault.remedy))
        elif detail["type"] != "too_short" or not detail["input"]:  # else an item has the fault
            found.append(_located(source, path, *_message(dict(detail), root)))
    found.sort(key=lambda located: located[0])
    problems = list(dict.fromkeys(problem for _, problem in found))
    more = len(problems[_MOST:]) + max(0, error.error_count() - _MOST)
    if more:
        rule = f"there are {more} more problems"
        problems[_MOST:] = [Problem(source.name, rule, "correct these first")]
    return problems


def problem_of(fault: Fault, source: Source) -> Problem:
    """Return a fault with its place; its path starts from the job file's top."""
    return _located(source, fault.path, fault.rule, fault.remedy)[1]


def _located(source: Source, path: FieldPath, rule: str, remedy: str) -> tuple[int, Problem]:
    return source.line(path), Problem(source.place(path), rule, remedy)


def _is_form(part: str | int) -> bool:
    """Whether a part of a location names the form of a section (task, pruner) and not a key."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _message(detail: Mapping[str, Any], root: type[Section]) -> tuple[str, str]:
    """Return rule and remedy of an error in a single value."""
    kind, written, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _TYPES:
        return _wrong_type(kind, written, _field(detail["loc"], root))
    if kind in _BOUNDS:
        relation, key = _BOUNDS[kind]
        bound = f"{relation} {_bare(context[key])}"
        of = "of " if relation.startswith("at") else ""
        return f"must be {bound}, not {show(written)}", f"use a value {of}{bound}"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        remedy = suggestion(written if isinstance(written, str) else "", names)
        return f"must be {listed(names, 'or')}, not {show(written)}", remedy
    if kind == "union_tag_invalid":
        names = re.findall(r"'<([^']*)>'", context["expected_tags"])
        wanted = context["tag"].strip("<>")
        return _task_form(wanted, written) if "own data" in names else _kind(wanted, names, written)
    if kind == "string_pattern_mismatch":
        must = "begin with a letter or a digit" if written[:1] == "-" else _OF_NAMES
        rule = f"a name must {must}, not {show(written)}"
        better = re.sub(r"[^a-z0-9-]+", "-", written.lower()).strip("-")[:63]
        return rule, f"write {better}" if better else "choose another name"
    if kind == "too_short":
        return "must not be empty", "give at least one value"
    return f"must be a valid value, not {show(written)}", "see `gatesearch schema`"


def _wrong_type(kind: str, written: Any, field: FieldInfo | None) -> tuple[str, str]:
    wanted, remedy = _TYPES[kind]
    if wanted == "text" and isinstance(written, int | float) and not isinstance(written, bool):
        remedy = f'write it in quotes: "{written}"'
    elif "number" in wanted and unquoted(written) is not None:
        remedy = f"write it without quotes: {unquoted(written)}"
    elif wanted == "a list" and written is not None:
        remedy = f"write {bracketed(written)}"
    elif written is None and field is not None and not field.is_required():
        remedy = f"{remedy}, or remove the key for its default"
    return f"must be {wanted}, not {show(written)}", remedy


def _task_form(wanted: str, written: Any) -> tuple[str, str]:
    """Return rule and remedy where a task is neither built in nor the user's own."""
    either = "write {name: japanese-vowels}, or {kind: classification, data: FILE}"
    if not isinstance(written, dict):
        near = nearest(written, TASKS) if isinstance(written, str) else None
        rule = f"must be a mapping, not {show(written)}"
        return rule, f"write {{name: {near}}}" if near else either
    if wanted == "unknown":
        return "a task must have a name, or kind and data of your own", either
    if {"kind", "data"} & written.keys():
        rule = f"must be a built-in task, not {show(wanted)}; data of your own must have no name"
        return rule, "remove the name, and leave kind and data"
    remedy = f"{suggestion(wanted, TASKS)}; for your own data write {{kind: …, data: FILE}}"
    return f"must be a built-in task, not {show(wanted)}", remedy


def _kind(wanted: str, names: list[str], written: Any) -> tuple[str, str]:
    if wanted == "unknown":
        return "kind is missing", f"add kind: {names[0]}; kinds are {listed(names)}"
    return f"must be a pruner, not {show(wanted)}", suggestion(wanted, names)


def _missing(location: FieldPath, root: type[Section]) -> tuple[str, str]:
    field = _field(location, root)
    text = f": {field.description}" if field and field.description else ""
    return f"{location[-1]} is missing", f"add the key {location[-1]}{text}"


def _unknown(location: FieldPath, path: FieldPath, root: type[Section]) -> tuple[str, str]:
    key = str(location[-1])
    section = section_at(root, location[:-1])
    known = list(section.model_fields) if section else []
    rule, rest = f"unknown key {show(key)}", f"alid here: {listed(known)}"
    if section is ArmSection and nearest(key, families()) == key:
        return rule, f"write the cell's name alone, or {{cell: {key}, …}}"
    meant = _MEANT.get(key.lower(), key)
    homes = list(_homes(root, key))
    if dotted(path) in homes:
        return rule, f"another kind has it, this kind does not; v{rest}"
    homes = list(dict.fromkeys([*_homes(root, meant), *homes]))
    near: str | None = meant if meant in known else listed(homes, "or")
    near = near or nearest(key, known) or nearest(key.split(" ")[0], known)
    return rule, f"did you mean {near}? V{rest}" if near else f"remove it; v{rest}"


def _field(location: FieldPath, root: type[Section]) -> FieldInfo | None:
    section = section_at(root, location[:-1])
    return section.model_fields.get(str(location[-1])) if section and location else None


def section_at(root: type[Section], location: FieldPath) -> type[Section] | None:
    """Return the section that a location of a validation error leads to."""
    current: list[type[Section]] = [root]
    for part in location:
        if isinstance(part, int):
            continue
        if _is_form(part):
            current = [s for s in current if s.form == part]
        elif part in current[0].model_fields:
            current = list(_sections(current[0].model_fields[part].annotation))
        if not current:
            return None
    return current[0]


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _homes(root: type[Section], key: str, path: FieldPath = ()) -> Iterator[str]:
    """Yield where else in a job file a key is valid."""
    for name, field in root.model_fields.items():
        if name == key:
            yield dotted((*path, name))
        if name in ("task", "arms"):
            continue  # their keys depend on the form
        for section in _sections(field.annotation):
            yield from _homes(section, key, (*path, name))


def _bare(bound: Any) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)

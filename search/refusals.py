"""Words for what validation finds: place, rule and remedy, without the validator's own terms."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from search.yaml_source import Path_, Source, dotted
from spaces.errors import Problem
from spaces.fields import Fault, Section
from spaces.words import listed, nearest, show, suggestion

#: What people write for the keys of a job file.
_MEANT = {
    "batch": "batch_size",
    "clip": "gradient_clip",
    "cpus": "cpus_per_trial",
    "direction": "bidirectional",
    "epochs": "max_epochs",
    "file": "data",
    "gpus": "gpus_per_trial",
    "hidden": "hidden_size",
    "hidden_dim": "hidden_size",
    "layers": "depth",
    "lr": "learning_rate",
    "n_trials": "trials",
    "num_layers": "depth",
    "path": "data",
    "timeout": "wall_clock",
    "type": "kind",
    "units": "hidden_size",
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


def problems_of(error: ValidationError, source: Source, root: type[Section]) -> list[Problem]:
    """Return every problem that validation found, in the order of the file's lines."""
    found: list[tuple[int, Problem]] = []
    for detail in error.errors(include_url=False):
        location = detail["loc"]
        path = tuple(part for part in location if not _is_form(part))
        if detail["type"] == "missing":
            found.append(_located(source, path, *_missing(location, root), missing=True))
        elif detail["type"] == "extra_forbidden":
            path = (*(part for part in location[:-1] if not _is_form(part)), location[-1])
            found.append(_located(source, path, *_unknown(location, root)))
        elif detail["type"] == "refused":
            faults: tuple[Fault, ...] = detail["ctx"]["faults"]
            for fault in faults:
                found.append(_located(source, fault.below(*path).path, fault.rule, fault.remedy))
        else:
            found.append(_located(source, path, *_worded(dict(detail))))
    found.sort(key=lambda located: located[0])
    return list(dict.fromkeys(problem for _, problem in found))


def problem_of(fault: Fault, source: Source) -> Problem:
    """Return a fault with its place; its path starts from the job file's top."""
    return _located(source, fault.path, fault.rule, fault.remedy)[1]


def _located(
    source: Source, path: Path_, rule: str, remedy: str, *, missing: bool = False
) -> tuple[int, Problem]:
    return source.line(path) or 0, Problem(source.place(path, missing=missing), rule, remedy)


def _is_form(part: str | int) -> bool:
    """Whether a part of a location names the form of a section (task, pruner) and not a key."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _worded(detail: Mapping[str, Any]) -> tuple[str, str]:
    """Return rule and remedy of an error that needs no look at the model."""
    kind, written, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _TYPES:
        wanted, remedy = _TYPES[kind]
        if isinstance(written, str) and kind in ("int_type", "float_type") and _number(written):
            remedy = f"write it without quotes: {written.strip()}"
        elif wanted == "a list" and isinstance(written, str | int | float):
            remedy = f"write [{written}]"
        elif written is None:
            remedy = f"{remedy}, or remove the key for its default"
        return f"must be {wanted}, not {show(written)}", remedy
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        bound = f"{words} {_bare(context[key])}"
        return f"must be {bound}, not {show(written)}", f"use a value {bound}"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        remedy = suggestion(written if isinstance(written, str) else "", names)
        return f"must be {listed(names, 'or')}, not {show(written)}", remedy
    if kind == "union_tag_invalid":
        return _form(context, written)
    if kind == "string_pattern_mismatch":
        rule = f"a name is 1 to 63 of a-z, 0-9 and -, not {show(written)}"
        better = re.sub(r"[^a-z0-9-]+", "-", written.lower()).strip("-")[:63]
        return rule, f"write {better}" if better else "choose another name"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", "give at least one value"
    return f"{show(written)} is not valid here", "see `gatesearch schema` for what is"


def _form(context: Mapping[str, Any], written: Any) -> tuple[str, str]:
    """Return rule and remedy where the form of a section cannot be told."""
    names = re.findall(r"'<([^']*)>'", context["expected_tags"])
    wanted = context["tag"].strip("<>")
    is_task = "own data" in names
    if wanted != "unknown":
        what = "built-in task" if is_task else "pruner"
        known = [name for name in names if name != "own data"]
        remedy = suggestion(wanted, known)
        if is_task:
            remedy += "; for your own data write {kind: …, data: FILE.npz}"
        return f"there is no {what} {show(wanted)}", remedy
    if not is_task:
        return f"must be a mapping with a kind, not {show(written)}", (
            f"write {{kind: {names[0]}}}; kinds are {listed(names)}"
        )
    if isinstance(written, str) and nearest(written, names):
        remedy = f"write {{name: {nearest(written, names)}}}"
    else:
        remedy = "write {name: japanese-vowels}, or {kind: classification, data: FILE.npz}"
    if isinstance(written, dict):
        return "a task has a name, or kind and data of your own", remedy
    return f"must be a mapping, not {show(written)}", remedy


def _missing(location: Path_, root: type[Section]) -> tuple[str, str]:
    key = str(location[-1])
    section = section_at(root, location[:-1])
    field = section.model_fields.get(key) if section else None
    text = f": {field.description}" if field and field.description else ""
    return f"{key} is missing", f"add {key}{text}"


def _unknown(location: Path_, root: type[Section]) -> tuple[str, str]:
    key = str(location[-1])
    section = section_at(root, location[:-1])
    known = list(section.model_fields) if section else []
    rule = f"unknown key {show(key)}"
    meant = _MEANT.get(key.lower())
    near = key if key in known else meant if meant in known else nearest(key, known)
    elsewhere = list(_homes(root, key)) or list(_homes(root, meant or ""))
    if near is None and elsewhere:
        return rule, f"did you mean {elsewhere[0]}? Valid here: {listed(known)}"
    if near is not None:
        return rule, f"did you mean {near}? Valid here: {listed(known)}"
    return rule, f"remove it; valid here: {listed(known)}"


def section_at(root: type[Section], location: Path_) -> type[Section] | None:
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


def _homes(root: type[Section], key: str, path: Path_ = ()) -> Iterator[str]:
    """Yield where else in a job file a key is valid."""
    for name, field in root.model_fields.items():
        if name == key:
            yield dotted((*path, name))
        if name in ("task", "arms"):
            continue  # their keys depend on the form
        for section in _sections(field.annotation):
            yield from _homes(section, key, (*path, name))


def _number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*", text) is not None


def _bare(bound: Any) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)

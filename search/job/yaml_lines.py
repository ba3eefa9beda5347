"""Reads a job file's YAML into plain data and remembers on which line everything stands.

The safe subset and nothing else: one document of mappings with text keys, lists and scalars. Tags,
anchors, aliases and repeated keys are refused; size and depth are bounded before anything is built.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from spaces.errors import InputError, Problem
from spaces.text import named, show

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

FieldPath = tuple[str | int, ...]

_PLAIN = (None, "")  # styles of a scalar without quotes, in either of the two parsers
_MOST_DIGITS = 400  # of a whole number; with more of them it is text
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)(_[0-9]+)*")
_REAL = re.compile(r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


@dataclass(frozen=True)
class Source:
    """A document with its lines."""

    name: str  #: the file as the user named it
    data: dict[str, Any]
    lines: dict[FieldPath, int] = field(default_factory=dict)  #: of every key and list item, from 1
    problems: tuple[Problem, ...] = ()  #: of the text itself, such as repeated keys
    text: str = ""  #: as it was read; nothing for what is no file

    def line(self, path: FieldPath) -> int:
        """Return the line of the nearest thing at or above a path; 0 in what is no file."""
        return self.lines.get(self._written(path), 0)

    def place(self, path: FieldPath, *, missing: bool = False) -> str:
        """Return "FILE:LINE: field.path" of the nearest thing that is written in the file.

        missing: the last part of the path is named although it is not in the file.
        """
        known = self._written(path)
        line = f":{self.lines[known]}" if self.lines else ""
        named = dotted(path if missing or not self.lines else known)
        return f"{self.name}{line}: {named}" if named else f"{self.name}{line}"

    def _written(self, path: FieldPath) -> FieldPath:
        while path and path not in self.lines:
            path = path[:-1]
        return path


def dotted(path: FieldPath) -> str:
    """Return a path as people write it: arms[1].space.depth."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{named(part)}" for part in path)
    return text.removeprefix(".")


def read_text(path: Path) -> str:
    """Return the text of a file that is small enough. Raises InputError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError.of(str(path), "the job file must exist", "check the path") from None
    except IsADirectoryError:
        rule, remedy = "must be a job file, not a folder", "name the YAML file inside it"
        raise InputError.of(str(path), rule, remedy) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        rule = f"the file must be readable ({reason})"
        raise InputError.of(str(path), rule, "check the path and its permissions") from None
    if len(content) > MAX_BYTES:
        rule = f"a job file must have at most {MAX_BYTES // 1024} KB"
        raise InputError.of(str(path), rule, "put data into files of their own")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        rule = f"the file must be UTF-8 text; byte {error.start + 1} is not"
        raise InputError.of(f"{path}:{line}", rule, "save it as UTF-8") from None


def parse(text: str, name: str) -> Source:
    """Return the document of a text. Raises InputError if it cannot be read to its end."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        rule = f"a job file must have at most {MAX_BYTES // 1024} KB"
        raise InputError.of(name, rule, "put data into files of their own")
    builder = _Builder(name)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise InputError([*builder.problems, _syntax(error, name, text)]) from None
    except (yaml.YAMLError, UnicodeEncodeError):
        raise InputError([*builder.problems, _unreadable(name, text)]) from None
    if not isinstance(builder.root, dict):
        empty = builder.root is None
        found = (
            "the file must not be empty"
            if empty
            else f"a job file must be a mapping, not {show(builder.root)}"
        )
        remedy = "begin with name, task and arms, as in deploy/jobs/quickstart.yaml"
        raise InputError.of(name if empty else f"{name}:1", found, remedy)
    return Source(name, builder.root, builder.lines, tuple(builder.problems), text)


@dataclass
class _Collection:
    """A mapping or list that is being read."""

    path: FieldPath
    items: dict[str, Any] | list[Any]
    key: str | None = None  #: of a mapping: its value comes next


class _Builder:
    """Builds plain data from events. Its own stack bounds the depth, without recursion."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[FieldPath, int] = {}
        self.root: Any = None
        self._name = name
        self._stack: list[_Collection] = []
        self._documents = 0

    def take(self, event: Event) -> None:
        """Add what an event stands for. Raises InputError where reading on makes no sense."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(
                        line,
                        "a job file must be one document",
                        "remove the --- that begins another",
                    )
            case AliasEvent():
                remedy = "write the value wherever it is needed"
                self._stop(line, f"aliases such as *{event.anchor} must not be used", remedy)
            case ScalarEvent():
                self._check(event, line)
                self._scalar(event, line)
            case MappingStartEvent() | SequenceStartEvent():
                self._check(event, line)
                self._begin({} if isinstance(event, MappingStartEvent) else [], line)
            case MappingEndEvent() | SequenceEndEvent():
                self._stack.pop()

    def _check(self, event: ScalarEvent | CollectionStartEvent, line: int) -> None:
        if event.anchor is not None:
            remedy = "write the value wherever it is needed"
            self._stop(line, f"anchors such as &{event.anchor} must not be used", remedy)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            rule = f"tags such as {show(tag)} must not be used"
            self.problems.append(Problem(self._place(line), rule, "write a plain value"))

    def _stop(self, line: int, rule: str, remedy: str) -> NoReturn:
        """Refuse the text at once, where reading on makes no sense."""
        raise InputError([*self.problems, Problem(self._place(line), rule, remedy)])

    def _place(self, line: int) -> str:
        """Return the place of what is about to be read."""
        path: FieldPath = ()
        if self._stack:
            top = self._stack[-1]
            path = top.path
            if isinstance(top.items, list):
                path = (*path, len(top.items))
            elif top.key is not None:
                path = (*path, top.key)
        return f"{self._name}:{line}" + (f": {dotted(path)}" if path else "")

    def _begin(self, items: dict[str, Any] | list[Any], line: int) -> None:
        if len(self._stack) >= MAX_DEPTH:
            rule = f"values must be nested at most {MAX_DEPTH} deep"
            self._stop(line, rule, "a job file needs less than ten")
        self._stack.append(_Collection(self._put(items, line), items))

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.items, dict) and top.key is None:
            top.key = event.value
            path = (*top.path, top.key)
            if top.key in top.items:
                first = self.lines[path]
                rule = f"the key must be given once; it is on line {first} too"
                place = f"{self._name}:{line}: {dotted(path)}"
                self.problems.append(Problem(place, rule, "remove one of the two"))
            else:
                self.lines[path] = line
            return
        self._put(plain(event.value) if event.style in _PLAIN else event.value, line)

    def _put(self, value: Any, line: int) -> FieldPath:
        """Put a value where it belongs and return its path."""
        if not self._stack:
            self.root = value
            self.lines[()] = line
            return ()
        top = self._stack[-1]
        if isinstance(top.items, list):
            top.items.append(value)
            path = (*top.path, len(top.items) - 1)
            self.lines[path] = line
            return path
        if top.key is None:
            remedy = "check brackets and question marks"
            self._stop(line, "a key must be plain text, not a list or mapping", remedy)
        path = (*top.path, top.key)
        top.items[top.key] = value
        top.key = None
        return path


def plain(text: str) -> bool | int | float | str | None:
    """Return what an unquoted scalar means. Unlike in YAML 1.1, 1e-4 is a number."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= _MOST_DIGITS and _INTEGER.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        value = float(text)
        whole = math.isfinite(value) and value == int(value) and abs(value) < 2**53
        return int(value) if whole else value
    return text


def _syntax(error: yaml.MarkedYAMLError, name: str, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or error.context or "it cannot be read"
    remedy = "check indentation, brackets and colons (with a space after) here and just before"
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        remedy = "indent with spaces: YAML allows no tabs there"
    return Problem(f"{name}:{line}", f"the text must be YAML: {problem}", remedy)


def _unreadable(name: str, text: str) -> Problem:
    """Return the problem of a text with characters that YAML does not know."""
    found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if found is None:
        return Problem(name, "the text must be YAML", "save it as plain UTF-8 text")
    line = text.count("\n", 0, found.start()) + 1
    rule = f"the text must be YAML, without the character {found.group()!r}"
    return Problem(f"{name}:{line}", rule, "remove it")

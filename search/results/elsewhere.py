"""Results that any tool wrote, from a CSV file: arm, value, and which replicate it is."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from search.results.evidence.across import Across, Task
from search.results.evidence.judge import judge
from search.results.evidence.judge_across import across
from search.results.evidence.pairs import Margin, Result, Results
from search.results.evidence.verdict import Verdict
from search.results.format import plural
from spaces.errors import InputError, Problem
from spaces.kinds import Metric
from spaces.text import listed, named, show

#: How a value says that its training diverged.
DIVERGED = "diverged"
_KEYS = ("pair", "replicate", "split")
_COLUMNS = ("arm", "value", *_KEYS, "task", "configuration")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_MOST_PROBLEMS = 10
_LARGEST = 100 * 2**20  # bytes of a file
_LARGEST_VALUE = 1e100  # as in a journal: the square of such a number is still a number


class Judged(NamedTuple):
    """What a file's results say."""

    verdicts: dict[str, Verdict]  #: by task, "" where there is no such column
    notes: list[str]  #: on how the results were used
    across: Across | None  #: what the tasks say together; None where no two have two arms in common


def verdicts(
    path: Path,
    *,
    metric: Metric,
    margin: Margin | None = None,
    confidence: float = 0.95,
    baseline: float | None = None,
    test_to_train: float | None = None,
) -> Judged:
    """Return the verdict on each task of a CSV file, and what the tasks say together.

    test_to_train: examples in a test part over those in a training part, where splits of the same
    data overlap. Raises InputError for a file that is not as `read_csv` says, and without a margin
    where 0.01 would be of another unit.
    """
    found = read_csv(path)
    values = [v for task in found.values() for own in task.scores.values() for v in own.values()]
    of_unit = all(0 <= value <= 1 for value in values if value is not None)
    if margin is None and metric.maximize and not of_unit:
        rule = f"--margin must be given where {metric.name} is not between 0 and 1 everywhere"
        remedy = "give the difference up to which results count as the same: --margin 1, or 2%"
        raise InputError.of(str(path), rule, remedy)
    verdicts = {
        task: judge(
            results.scores,
            metric=metric.name,
            maximize=metric.maximize,
            design="given",
            margin=margin,
            confidence=confidence,
            baselines={} if baseline is None else {"baseline": baseline},
            ceiling=metric.ceiling if of_unit else None,
            observations=results.observations,
            test_to_train=test_to_train,
            remedy="no two arms have a replicate of the same name; number them alike in every arm",
        )
        for task, results in found.items()
    }
    tasks = [
        Task(task, verdict, found[task].scores, metric.maximize)
        for task, verdict in verdicts.items()
    ]
    over = across(tasks) if len(tasks) > 1 else None
    notes = list(_notes(found.values()))
    if over is not None and not over.pairs:
        over = None
        notes.append("Nothing is said over tasks: no two with a verdict have two arms in common.")
    return Judged(verdicts, notes, over)


def _notes(found: Collection[Results]) -> Iterator[str]:
    if unpaired := sum(results.unpaired for results in found):
        yield f"{plural(unpaired, 'result')} left out: no other arm has a partner."
    if any(results.averaged for results in found):
        yield (
            "Results of one split are not independent of each other: their mean counts as one "
            "result, and each split as one pair."
        )


def read_csv(path: Path) -> dict[str, Results]:
    """Return the results in a CSV file by task, "" where there is no such column.

    Columns: arm; value; pair, or replicate, or split, or replicate and split, which say what two
    arms' results have in common; optional task and configuration. Others are ignored. Several
    results of an arm on one of several splits count as one pair. Raises InputError with the line
    of whatever is not as it must be.
    """
    rows = list(_rows(path))
    header = [name.strip() for name in rows[0][1]] if rows else []
    _check_header(path, header)
    found: dict[str, list[Result]] = {}
    lines: dict[tuple[str, ...], int] = {}
    problems: list[Problem] = []
    for number, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            _add(found, lines, f"{path}:{number}", number, _row(path, number, header, cells))
        except InputError as error:
            problems += error.problems
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise InputError(problems)
    for task, results in found.items() or {"": list[Result]()}.items():
        arms = {result.arm for result in results}
        if len(arms) < 2:
            where = f" on {named(task)}" if task else ""
            there = f"not of {listed(map(named, arms))} alone" if arms else "not of none"
            rule = f"there must be results of two arms{where}, {there}"
            remedy = "add the results of what it is compared with, with another name under arm"
            raise InputError.of(str(path), rule, remedy)
    return {task: Results(results) for task, results in found.items()}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of each row."""
    remedy = "name a text file with a comma between values and a first line of column names"
    try:
        with path.open("rb") as file:  # its size is not asked for: a pipe or device tells none
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            rule = f"it must be smaller than {_LARGEST // 2**20} MiB"
            raise InputError.of(str(path), rule, "leave one line for each replicate")
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        for cells in reader:
            yield reader.line_num, cells
    except OSError as error:
        rule = f"it must be a file that can be read ({error.strerror})"
        raise InputError.of(str(path), rule, remedy) from error
    except (UnicodeDecodeError, csv.Error) as error:
        rule = f"it must be a CSV file in UTF-8 ({error})"
        raise InputError.of(str(path), rule, remedy) from error


def _check_header(path: Path, header: list[str]) -> None:
    place = f"{path}:1"
    if len(header) == 1 and (other := re.search(r"[;\t]", header[0])):
        rule = f"columns must be divided by commas, not by {other[0]!r}"
        raise InputError.of(place, rule, "save the file with commas, and a point in numbers")
    for name in ("arm", "value"):
        if name not in header:
            near = [other for other in header if other]
            remedy = f"name the column {name!r}; the file has {listed(map(named, near)) or 'none'}"
            raise InputError.of(place, f"there must be a column {name!r}", remedy)
    if not any(name in header for name in _KEYS):
        rule = "there must be a column 'replicate', 'pair' or 'split'"
        remedy = "number each arm's results so that equal numbers share their data and their seed"
        raise InputError.of(place, rule, remedy)
    for name in _COLUMNS:
        if header.count(name) > 1:
            rule = f"column {name!r} must stand once, not {header.count(name)} times"
            raise InputError.of(place, rule, "remove or rename one of them")


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        rule = f"a line must have {len(header)} values, as the first line has, not {len(cells)}"
        remedy = "put a value that has a comma into double quotes"
        raise InputError.of(f"{path}:{number}", rule, remedy)
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name in ("arm", *_KEYS, "task"):
        if name in row and not row[name]:
            rule = f"{name} must be a name, not empty"
            remedy = "fill it in" if name == "arm" else f"fill it in, or remove column {name}"
            raise InputError.of(f"{path}:{number}", rule, remedy)
    return row


def _add(
    found: dict[str, list[Result]],
    lines: dict[tuple[str, ...], int],
    place: str,
    number: int,
    row: dict[str, str],
) -> None:
    """Add one row to what was found. Raises InputError where it is not as it must be."""
    value = _value(place, row["value"])
    arm, task = row["arm"], row.get("task", "")
    names = ["pair"] if "pair" in row else [name for name in ("split", "replicate") if name in row]
    keys = [row[name] for name in names]
    earlier = lines.setdefault((task, arm, *keys), number)
    if earlier != number:
        one = " and ".join(f"{name} {named(row[name])}" for name in names)
        rule = (
            f"arm {named(arm)} must have one value for {one}, not another one after line {earlier}"
        )
        remedy = f"remove this line or line {earlier}, or number the replicates"
        raise InputError.of(place, rule, remedy)
    found.setdefault(task, []).append(
        Result(arm, "\0".join(keys), value, row.get("split"), row.get("configuration", ""))
    )


def _value(place: str, text: str) -> float | None:
    """Return a value; None for a replicate that diverged."""
    if text.lower() == DIVERGED:
        return None
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if abs(number) <= _LARGEST_VALUE:
        return number
    if math.isfinite(number):
        rule = f"value must be between {-_LARGEST_VALUE:g} and {_LARGEST_VALUE:g}, not {show(text)}"
        raise InputError.of(place, rule, "give all values in a larger unit")
    remedy = (
        f"write {DIVERGED} where the training diverged, which counts as a loss; leave the line out "
        "where a result is missing"
    )
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text):
        remedy = f"write {text.replace(',', '.')}"
    elif text.endswith("%"):
        remedy = "leave the sign out, and give the margin in the same unit"
    raise InputError.of(place, f"value must be a finite number, not {show(text)}", remedy)

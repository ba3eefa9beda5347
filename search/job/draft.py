"""A job file to start from, written for data that was inspected."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from search.job.yaml_text import scalar
from spaces.own_data import ROLES, Label, OneOrMore
from spaces.text import named, printable
from trainables.data.inspection.findings import Inspection

if TYPE_CHECKING:  # it imports torch
    from trainables.training.preparation import Prepared

_COMMENT = 45  # the column at which comments begin
_WHAT = {
    "id": "the sequence of each row",
    "time": "the order of its rows",
    "target": "what is predicted",
    "split": "who is for training, validation and test",
    "group": "sequences of one group stay in one part",
}
_SERIES = {
    "season": "steps after which series repeat",
    "relative": "reads how far values lie from the last one that it reads",
    "difference": "learns differences from a season before",
    "transform": "learns logarithms",
}
_GAPS = "some lack: their last values; or mean, or mask"
_BATCH = 32
#: A training has the first of these epochs that make so many steps, or the last of them.
_EPOCHS, _STEPS = (27, 81, 243), 400
_MOST_SHOWN = 8  # classes and columns that a comment names


def draft(found: Inspection, name: str, learned: "Prepared | None" = None) -> str:
    """Return a commented job file that compares LSTM and GRU on the data. Raises ValueError.

    name: what the job is to be called; it becomes a valid name. learned: how series are, of
    forecasting.
    """
    horizon = found.task.horizon
    lines = [
        *_comments(_summary(found)),
        *_comments(f"mind: {warning}" for warning in found.warnings),
        f"name: {job_name(name)}",
        "",
        "task:",
        _line(f"  kind: {found.roles.kind}", _target(found)),
        *([] if horizon is None else _series(horizon, learned)),
        *_data(found),
        "",
        _line("arms: [lstm, gru]", "what is compared; `gatesearch cells` lists more"),
        "",
        _line("space:", "what is tried, the same for every arm"),
        "  depth: {low: 1, high: 2}",
        "  hidden_size: {choices: [16, 32, 64]}",
        "  learning_rate: {low: 1.0e-3, high: 3.0e-2, log: true}",
        "  dropout: {low: 0.0, high: 0.5}",
        "",
        _training(found.trained or 0),
        _line("search: {trials: 12, seed: 0}", "of each arm"),
        _line("confirm:", "the best of each arm again, for the verdict"),
        _line("  design: splits", "each time on other training and validation data")
        if horizon is None
        else _line("  design: seeds", "each time with a fresh seed: parts follow time"),
        _line("  replicates: auto", "until the arms are told apart"),
        _line("  max_replicates: 40", "but no more than these"),
    ]
    return "\n".join(lines) + "\n"


def _series(horizon: int, learned: "Prepared | None") -> list[str]:
    options = {"relative": True} if learned is None else learned.options
    read = max(2 * horizon, options.get("season", 1))
    lines = [_line(f"  horizon: {horizon}", f"steps ahead; a model reads {read}, or window: N")]
    lines += [_line(f"  {key}: {str(v).lower()}", _SERIES[key]) for key, v in options.items()]
    if learned is not None and learned.helps:
        lines += [
            f"  # A small GRU is off by {learned.error:.3g} on the validation part so, and by",
            f"  # {learned.plain_error:.3g} where it reads how far values lie from the last one.",
        ]
    return lines


def _training(sequences: int) -> str:
    batches = max(-(-sequences // _BATCH), 1)
    epochs = next((each for each in _EPOCHS if each * batches >= _STEPS), _EPOCHS[-1])
    return _line(
        f"training: {{batch_size: {_BATCH}, max_epochs: {epochs}, patience: {epochs // 3}}}",
        f"ends once {epochs // 3} epochs are no better",
    )


def job_name(text: str) -> str:
    """Return a text as a job may be called."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "own-data"


def _summary(found: Inspection) -> list[str]:
    low, median, high = found.lengths
    steps = f"{low} steps each" if low == high else f"{low} to {high} steps, {median} as a median"
    lines = [f"{printable(found.file)}: {found.sequences} sequences of {steps}."]
    if found.left_out:
        lines.append(f"Columns that play no part: {_some(found.left_out)}.")
    return lines


def _target(found: Inspection) -> str:
    if found.classes:
        what = "labels" if found.roles.kind == "multi-label" else "classes"
        each = " of steps" if found.roles.kind == "tagging" else ""
        return f"{len(found.classes)} {what}{each}: {_some(found.classes)}"
    if len(found.roles.targets) > 1:
        return f"{len(found.roles.targets)} numbers for each sequence"
    return {
        "regression": "a number for each sequence",
        "forecasting": "the next values of each series",
        "next-token": "the next symbol at every step",
        "next-step": "the next frame of zeros and ones",
    }[found.roles.kind]


def _data(found: Inspection) -> list[str]:
    data = found.task.data
    parts = {role: names for role in ROLES if (names := getattr(data, role)) is not None}
    lines = [f"    file: {scalar(found.file)}"]
    if found.test is not None:
        lines.append(_line(f"    test: {scalar(found.test)}", f"{found.tested} sequences"))
    for role in ("id", "time"):
        if role in parts:
            lines.append(_line(f"    {role}: {_names(parts.pop(role))}", _WHAT[role]))
    if data.features is not None:
        lines.append(_line(f"    features: {_names(data.features)}", "what a model reads"))
    lines += [_line(f"    {role}: {_names(name)}", _WHAT[role]) for role, name in parts.items()]
    if data.missing != "refuse":
        lines.append(_line(f"    missing: {data.missing}", _GAPS))
    return ["  data:", *lines] if len(lines) > 1 else [f"  data: {scalar(found.file)}"]


def _names(columns: OneOrMore) -> str:
    if isinstance(columns, str):
        return scalar(columns)
    return f"[{', '.join(map(scalar, columns))}]"


def _some(names: Iterable[Label]) -> str:
    shown = [named(str(name)) for name in names]
    return ", ".join(shown[:_MOST_SHOWN]) + ", …" * (len(shown) > _MOST_SHOWN)


def _comments(lines: Iterable[str]) -> list[str]:
    return [f"# {printable(line)}".replace("\n", " ") for line in lines]


def _line(text: str, comment: str) -> str:
    return f"{text.ljust(_COMMENT)}  # {printable(comment)}".replace("\n", " ")

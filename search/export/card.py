"""The model card: what an exported model is, what is known of it, and how to use it."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from search.journal.trial import TrialResult
from search.results import format
from search.results.ranking import Candidate
from search.results.read import Results
from search.spread import Spread
from spaces.cells import find
from spaces.config import TrialConfig
from spaces.kinds import Metric, TaskKind
from spaces.own_data import Missing
from spaces.own_task import Scaling
from spaces.tasks import BuiltIn, TaskInfo
from spaces.text import named, show
from trainables.data.missing import given
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import LOADERS
from trainables.export import onnx
from trainables.export.onnx import OUTPUTS
from trainables.training.curve import Epoch

VERSIONED = ("gatesearch", "torch", "numpy", "onnx", "onnxruntime", "safetensors")

MOST_COLUMNS = 20  #: that the card names

_DOES: dict[TaskKind, str] = {
    "classification": "assigns a sequence to one of {outputs} classes",
    "multi-label": "says which of {outputs} labels a sequence has",
    "tagging": "assigns every step of a sequence to one of {outputs} classes",
    "regression": "predicts {outputs} number(s) from a sequence",
    "forecasting": "forecasts the next {outputs} value(s) of a series, its first feature",
    "next-token": "predicts the next one of {outputs} symbols after every step of a sequence",
    "next-step": "predicts which of {outputs} labels are on in the next frame, after every step",
}
_OUTPUT: dict[TaskKind, str] = {
    "classification": "`[batch, {outputs}]`, at each sequence's last step; softmax over the last "
    "axis gives probabilities",
    "multi-label": "`[batch, {outputs}]`, at each sequence's last step; the logistic function "
    "gives each label's probability",
    "tagging": "`[batch, time, {outputs}]`; softmax over the last axis gives probabilities",
    "regression": "`[batch, {outputs}]`, at each sequence's last step",
    "forecasting": "`[batch, {outputs}]`, after each series' last step",
    "next-token": "`[batch, time, {outputs}]`; softmax over the last axis gives probabilities of "
    "the next symbol",
    "next-step": "`[batch, time, {outputs}]`; the logistic function gives each label's probability "
    "in the next frame",
}

_SCALES: dict[Scaling, str] = {
    "standard": "mean and deviation",
    "robust": "median and range between the quartiles",
    "min-max": "least value and range",
}

_MISSING: dict[Missing, str] = {
    "forward": "the last value of the sequence stands for them, and before the first one the mean "
    "of the training split",
    "mean": "the mean of the training split stands for them",
    "mask": "the last value of the sequence stands for them, and before the first one the mean of "
    "the training split; the network also reads which values were there, and how many steps ago "
    "the last one was",
}


@dataclass(frozen=True)
class Exported:
    """One configuration as it was exported: what the card reports."""

    results: Results
    candidate: Candidate
    data: Data
    config: TrialConfig
    scaling: onnx.Scaling | None
    best: Epoch  #: the one whose weights were exported
    comparison: onnx.Comparison


def card(exported: Exported) -> str:
    """Return the model card as Markdown."""
    parts = [
        _head(exported),
        _figures(exported),
        _configuration(exported),
        _data(exported),
        _use(exported),
        _limits(exported),
        _versions(exported),
    ]
    return "\n\n".join(parts) + "\n"


def _head(exported: Exported) -> str:
    config, info, trial = exported.config, exported.data.info, exported.candidate.trial
    cell = find(config.cell, config.gates)
    layers = format.plural(config.depth, "layer")
    both = " in both directions" if config.bidirectional else ""
    network = "A transformer" if cell.attention else "A recurrent network"
    does = _DOES[info.kind].format(outputs=info.steps_ahead)
    classes = ""
    if info.labels is not None and not info.causal and info.kind != "forecasting":
        shown = [named(str(label)) for label in info.labels[:MOST_COLUMNS]]
        more = ", …" * (len(info.labels) > MOST_COLUMNS)
        classes = f" Outputs, in their order: {', '.join(shown)}{more}."
    return (
        f"# {cell.name} for {info.name}\n\n"
        f"{network} that {does}: {layers} of {config.hidden_size} units{both}, "
        f"{trial.parameters:,} parameters. Found by gatesearch: trial {trial.number} of arm "
        f"`{trial.arm}`, job `{exported.results.job.name}`."
        f"{classes}\n\n"
        f"Cell: `{cell.equations}` ({cell.source})"
    )


def _figures(exported: Exported) -> str:
    candidate, info = exported.candidate, exported.data.info
    table = "\n".join(f"| {' | '.join(row)} |" for row in _figures_table(exported))
    text = (
        f"\n\nThe weights are those of epoch {exported.best.epoch} of {candidate.trial.epochs}, "
        f"the best by {info.metric.name} on validation data. "
    )
    if candidate.completed:
        text += (
            "Fresh seeds: the same configuration trained again from scratch, mean ± standard "
            "deviation; other weights than the ones here. These weights themselves were not "
            "scored on test data."
        )
        if candidate.diverged:
            diverged = format.plural(candidate.diverged, "replicate")
            text += f" Not in the mean: {diverged} that diverged."
    else:
        text += (
            "It was not confirmed with fresh seeds, and nothing was scored on test data: the value "
            "is that of the search, which chose it for being good."
        )
    return "## Figures\n\n" + table + text


def _figures_table(exported: Exported) -> list[list[str]]:
    replicates, info = exported.candidate.completed, exported.data.info
    head = ["metric", "this model, validation"]
    if replicates:
        fresh = format.plural(len(replicates), "fresh seed")
        head += [f"{fresh}, {split}" for split in ("validation", "test")]
    validation = [_best_epoch(r, info.metric).metrics for r in replicates if r.curve]
    test = [r.test for r in replicates if r.test]
    rows = [head, ["---"] * len(head)]
    for metric in info.metrics:
        arrow = "↑" if metric.maximize else "↓"
        row = [f"{metric.name} {arrow}", format.value(exported.best.metrics[metric.name])]
        if replicates:
            row += [_spread(metric, validation), _spread(metric, test)]
        rows.append(row)
    return rows


def _best_epoch(replicate: TrialResult, metric: Metric) -> Epoch:
    """Return the best epoch of a curve."""
    return min(replicate.curve, key=lambda epoch: epoch.rank(metric))


def _spread(metric: Metric, measured: Iterable[Mapping[str, float]]) -> str:
    spread = Spread.of([values[metric.name] for values in measured if metric.name in values])
    return "not measured" if spread is None else format.spread(spread)


def _configuration(exported: Exported) -> str:
    config, trial = exported.config, exported.candidate.trial
    cell = find(config.cell, config.gates)
    rows = [
        f"| {name} | {show(value) if isinstance(value, bool | None) else value} |"
        for name, value in config.model_dump(mode="json").items()
        if cell.reads(name)
    ]
    rows += [f"| training seed | {trial.seed} |"]
    resources = exported.results.job.resources
    share = ", as its share of a worker that trained several at once" if resources.packed else ""
    return (
        "## Configuration and training\n\n| setting | value |\n| --- | --- |\n"
        + "\n".join(rows)
        + f"\n\nTraining took {trial.train_seconds:.1f} s for {trial.epochs} epochs on a "
        f"{resources.devices}{share}, "
        "validation included. `config.yaml` trains it again."
    )


def _data(exported: Exported) -> str:
    data, task = exported.data, exported.results.job.task
    info = data.info
    rows = "\n".join(
        f"| {name} | {len(split):,} | {_steps(split):,} | {_lengths(split)} |"
        for name, split in (
            ("training", data.train),
            ("validation", data.validation),
            ("test", data.test),
        )
    )
    what = f"{info.inputs} symbols" if info.kind == "next-token" else f"{given(info)} features"
    text = (
        f"## Data\n\nTask `{info.name}`, {info.kind}; {what} a step, "
        f"split with seed {task.seed}.\n\n"
        "| split | sequences | steps | lengths |\n| --- | --- | --- | --- |\n"
        f"{rows}\n\nsha256 over all arrays: `{info.fingerprint}`"
    )
    if isinstance(task, BuiltIn):
        row = LOADERS[task.name]
        text += f"\n\nSplit: {row.split}. Source: {row.source}."
    if exported.scaling is not None:
        text += (
            f"\n\nFeatures were scaled for training by {_SCALES[data.dealing.scaling]} of the "
            "training split. `model.onnx` scales raw features itself."
        )
    if info.transform is not None:
        what = "The series was" if info.of_transformed else "Features were"
        text += f"\n\n{what} transformed before: {info.transform}. `model.onnx` does so itself."
    if (lag := info.ahead.difference) is not None:
        text += (
            f"\n\nWhat is learned are differences over {lag} steps: the first {lag} steps of `x` "
            "are read for these alone. `model.onnx` takes and gives values of the series."
        )
    if info.gaps:
        text += "\n\nThe last feature of a step is the time since the step before, 0 at the first."
    if info.missing != "refuse":
        text += f"\n\nMissing values (NaN): {_MISSING[info.missing]}. `model.onnx` does so itself."
    if data.train.y_scaling is not None:
        mean, deviation = map(_scale, data.train.y_scaling)
        figures = "mse is in these, and loss is that of scaled targets"
        if not isinstance(data.train.y_scaling[0], float):
            figures = "all figures are those of scaled targets, averaged over them"
        text += (
            f"\n\nTargets were scaled in the same way (mean {mean}, deviation {deviation}). "
            f"`model.onnx` predicts them in their own units; {figures}."
        )
    return text


def _scale(scale: float | NDArray[np.float32]) -> str:
    """Return a scale of targets as text, one for each."""
    return ", ".join(f"{value:.6g}" for value in np.atleast_1d(scale).tolist())


def _steps(split: Sequences) -> int:
    """Return how many steps there are; windows of one series share theirs."""
    return min(len(split.x), int(split.lengths.sum()))


def _lengths(split: Sequences) -> str:
    low, high = int(split.lengths.min()), int(split.lengths.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _use(exported: Exported) -> str:
    info = exported.data.info
    symbols = info.kind == "next-token"
    unread = info.ahead.unread
    steps, least = min(info.longest, 20) + unread, 1 + unread
    x = (
        "`x [batch, time]` int64 symbols"
        if symbols
        else f"`x [batch, time, {given(info)}]` float32"
    )
    example = (
        f"np.zeros((2, {steps}), np.int64)"
        if symbols
        else f"np.zeros((2, {steps}, {given(info)}), np.float32)"
    )
    inputs = example
    if unread:
        inputs = f"np.zeros((2, {steps - unread}, {info.inputs}), np.float32)"
    if info.missing != "refuse":  # filled, as trainables.data.missing says
        inputs = f"np.zeros((2, {steps}, {info.inputs}), np.float32)"
    scale = (
        '\nscaling = read_metadata("weights.safetensors")["scaling"]'
        '\nx = (x - torch.tensor(scaling["mean"])) / torch.tensor(scaling["deviation"])'
        if exported.scaling is not None
        else ""
    )
    back = (
        '\ntargets = read_metadata("weights.safetensors")["target_scaling"]'
        '\nmean, deviation = (torch.tensor(targets[name]) for name in ("mean", "deviation"))'
        "\npredictions = outputs * deviation + mean"
        if exported.data.train.y_scaling is not None
        else ""
    )
    if info.kind == "forecasting":
        unit = "logarithms" if info.transform else "values"
        naive = f"naive forecast of {unread} steps" if unread else "last one"
        back += f"\n# what the outputs say is how far {unit} lie from the {naive} of feature 0"
        if info.ahead.likelihood == "gaussian":
            back += f"; from {info.steps_ahead} on they are deviations, to which no mean is added"
    reads = "load_model, read_metadata" if scale or back else "load_model"
    return f"""## Use

{_from_the_command_line(info)}

With onnxruntime. Inputs: {x}, padded at the end with zeros, and `lengths [batch]` int64.
Output: `{OUTPUTS[info.kind]}` {_OUTPUT[info.kind].format(outputs=info.outputs)}{_ahead(info)}.

```python
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
x = {example}
lengths = np.array([{steps}, {least}])
({OUTPUTS[info.kind]},) = session.run(None, {{"x": x, "lengths": lengths}})
```

With torch, to train on or to look inside; time comes first here:

```python
import numpy as np, torch
from trainables.export.weights import {reads}

model = load_model("weights.safetensors")
x = torch.from_numpy({inputs}).transpose(0, 1){scale}
outputs = model(x, torch.tensor([{steps - unread}, 1])){back}
```"""


def _ahead(info: TaskInfo) -> str:
    """Return what the outputs of a forecast are, and its inputs of columns known ahead."""
    ahead, text = info.ahead, ""
    if ahead.likelihood == "gaussian":
        text = f": the means of the {info.steps_ahead} steps ahead, then their standard deviations"
    elif ahead.likelihood == "quantile":
        listed = ", ".join(f"{quantile:g}" for quantile in ahead.quantiles)
        text = f": for each of the quantiles {listed} the {info.steps_ahead} steps ahead"
    if ahead.future:
        names = ", ".join(f"`{named(name)}`" for name in ahead.future)
        text += f". The last features of `x` are {names}, each as it is {info.steps_ahead} steps "
        text += "later; those of that name stand before them"
    return text


def _from_the_command_line(info: TaskInfo) -> str:
    layout = "x [all steps]" if info.kind == "next-token" else f"x [all steps, {given(info)}]"
    file, holds = "new.npz", f"holds `{layout}`, sequences end to end, and `lengths [n]`"
    if info.columns is not None:
        names = [info.columns.id, info.columns.time, *(f.name for f in info.columns.features)]
        shown = [f"`{named(name)}`" for name in names if name is not None]
        more = ", …" * (len(shown) > MOST_COLUMNS)
        file, holds = "new.csv", f"has the columns {', '.join(shown[:MOST_COLUMNS])}{more}"
        if info.ahead.future:
            ahead = ", ".join(f"`{named(name)}`" for name in info.ahead.future)
            holds += f"; each series ends with {info.steps_ahead} rows that have {ahead} alone"
    return f"""From the command line; `{file}` {holds}:

```sh
gatesearch predict . {file} --out predictions.csv
```"""


def _limits(exported: Exported) -> str:
    results, info, comparison = exported.results, exported.data.info, exported.comparison
    trials = format.plural(len(results.search), "trial")
    arms = format.plural(len(results.arms), "arm")
    points = [
        f"Chosen among {trials} of {arms} by validation data: its value there is optimistic.",
        f"Sequences in the data have at most {info.longest:,} steps; longer ones were not "
        "evaluated.",
        "Not evaluated: data of another origin or distribution, calibration of the probabilities, "
        "robustness to noise and gaps, fairness to groups of people, latency.",
        f"`model.onnx` gives torch's outputs on {comparison.sequences:,} ragged sequences of "
        f"validation data within {comparison.error:.1e} (largest output "
        f"{comparison.largest:.1f}), in float32 on a CPU.",
    ]
    if exported.config.bidirectional:
        points.append("It reads sequences in both directions and needs them whole.")
    if info.kind == "next-token":
        points.append(
            "It takes no symbol that was not in the data, and has none for unknown symbols."
        )
    return "## Limits\n\n" + "\n".join(f"- {point}" for point in points)


def _versions(exported: Exported) -> str:
    names = ", ".join(f"{name} {version(name)}" for name in VERSIONED)
    return (
        "## Versions\n\n"
        f"Exported with {names}; Python {platform.python_version()}, {platform.machine()}."
    )

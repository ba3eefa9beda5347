"""Results as a job would have left them, made by a small generator instead of training.

made(folder, text)     the results of a whole job
trial_result(...)      one trial, where a test needs a few with given figures
two_finalists(folder)  a job whose arm is not led by its best search trial
"""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from search.journal.trial import State, TrialResult
from search.results.read import Results
from spaces.config import TrialConfig
from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.training.curve import Epoch

_QUALITY = {"rnn": 0.06, "lstm": 0.015, "gru": 0.02}
_START = 1_760_000_000_000  #: Unix time in milliseconds of the first epoch


def job_text(
    arms: str = "[rnn, lstm, gru]",
    trials: int = 12,
    seeds: int = 10,
    finalists: int = 1,
    task: str = "{name: japanese-vowels}",
) -> str:
    """Return a job file."""
    return f"""name: vowels
task: {task}
arms: {arms}
space:
  depth: {{low: 1, high: 3}}
  hidden_size: {{choices: [16, 32, 64]}}
  learning_rate: {{low: 1.0e-4, high: 3.0e-2, log: true}}
  dropout: {{low: 0.0, high: 0.5}}
training: {{batch_size: 32, max_epochs: 27}}
search: {{trials: {trials}, seed: 0}}
confirm: {{finalists: {finalists}, seeds: {seeds}}}
"""


VOWELS = TaskInfo(
    name="japanese-vowels",
    kind="classification",
    inputs=12,
    outputs=9,
    longest=29,
    metric=METRICS["classification"][0],
    fingerprint="9d5ed678fe57bcca610140957afab571" * 2,
)
CONFIG = TrialConfig(
    cell="lstm", gates="standard", depth=2, hidden_size=64, learning_rate=0.01, max_epochs=9
)
CONFIG_OF_LEADER = CONFIG.model_copy(update={"depth": 1, "hidden_size": 17})
STRINGS = TaskInfo(
    name="symbolic",
    kind="next-token",
    inputs=4,
    outputs=4,
    longest=100,
    metric=METRICS["next-token"][0],
    fingerprint="ab" * 32,
)


def made(
    folder: Path,
    text: str = "",
    info: TaskInfo = VOWELS,
    *,
    trials: int | None = None,
    phase: str = "done",
    seed: int = 0,
) -> Results:
    """Return the results of a job file; `trials` an arm where the job stopped early."""
    text = text or job_text()
    (folder / "job.yaml").write_text(text)
    job = JobSpec.loads(text, "job.yaml")
    draw = random.Random(seed)
    each = job.search.trials if trials is None else trials
    assert each is not None
    found: list[TrialResult] = []
    for arm in job.arms:
        cells = [branch.name for branch in arm.branches]
        found += [_trial(arm.name, cells, number, info, draw) for number in range(each)]
    results = Results(folder, job, info, found, phase)
    if phase != "search":
        for arm in job.arms:
            finalists = results.ranked(arm.name)[: job.confirm.finalists]
            pairs = [(finalist, seed) for finalist in finalists for seed in range(job.confirm.most)]
            found += [
                _replicate(finalist, seed, number, info, draw)
                for number, (finalist, seed) in enumerate(pairs)
            ]
    return Results(folder, job, info, found, phase)


def trial_result(number: int, value: float | None = 0.5, **changes: Any) -> TrialResult:
    """Return a complete search trial of the arm lstm; `changes` are fields of a TrialResult."""
    known: dict[str, Any] = {
        "number": number,
        "arm": "lstm",
        "phase": "search",
        "state": "complete",
        "control": False,
        "config": CONFIG,
        "seed": 0,
        "epochs": 9,
        "metric": VOWELS.metric,
        "value": value,
        "curve": [],
        "parameters": 1000,
        "train_seconds": 1.0,
    }
    return TrialResult(**{**known, **changes})


def replicate_result(
    finalist: int, replicate: int, value: float | None, **changes: Any
) -> TrialResult:
    """Return a complete replicate of a finalist of the arm lstm.

    On test data it has 0.01 less than on validation data, on training data 0.02 more.
    """
    known: dict[str, Any] = {"phase": "confirm", "finalist": finalist, "replicate": replicate}
    if value is not None:
        known["test"] = {VOWELS.metric.name: value - 0.01}
        known["training"] = {VOWELS.metric.name: value + 0.02}
    number = 100 * finalist + replicate
    return trial_result(number, value, **{**known, **changes})


def two_finalists(folder: Path) -> Results:
    """Return a finished job of two arms with two finalists and two seeds.

    Trial 0 of the arm lstm is the best of the search; with fresh seeds, trial 1 does better.
    """
    text = job_text(arms="[lstm, gru]", trials=2, seeds=2, finalists=2)
    (folder / "job.yaml").write_text(text)
    size = {"parameters": 2000, "train_seconds": 20.0}
    small = {"parameters": 300, "train_seconds": 3.0, "config": CONFIG_OF_LEADER}
    gru = {"arm": "gru", "config": CONFIG.model_copy(update={"cell": "gru"})}
    records = [
        trial_result(0, 0.95, **size),
        trial_result(1, 0.91, **small),
        trial_result(0, 0.85, **gru),
        trial_result(1, 0.84, **gru),
    ]
    for replicate in range(2):
        records += [
            replicate_result(0, replicate, 0.81 + 0.02 * replicate, **size),
            replicate_result(1, replicate, 0.88 + 0.04 * replicate, **small),
            replicate_result(0, replicate, 0.75, **gru),
            replicate_result(1, replicate, 0.65, **gru),
        ]
    return Results(folder, JobSpec.loads(text, "job.yaml"), VOWELS, records, "done")


def _trial(
    arm: str, cells: list[str], number: int, info: TaskInfo, draw: random.Random
) -> TrialResult:
    chosen = {
        "cell": draw.choice(cells),
        "gates": "standard",
        "depth": draw.randint(1, 3),
        "hidden_size": draw.choice([16, 32, 64]),
        "dropout": draw.uniform(0, 0.5),
        "residual": False,
        "bidirectional": False,
        "heads": 4,
        "optimizer": "adam",
        "learning_rate": 10 ** draw.uniform(-4, -1.52),
        "weight_decay": 0.0,
        "batch_size": 32,
        "max_epochs": 27,
        "gradient_clip": 1.0,
    }
    config = TrialConfig(**chosen)
    control = number % 4 == 0
    state: State = "complete" if control or draw.random() < 0.45 else "pruned"
    epochs = 27 if state == "complete" else draw.choice([1, 3, 9])
    if draw.random() < 0.04 and not control:
        state, epochs = "diverged", 2
    reason = "loss or gradient was not finite in epoch 3" if state == "diverged" else None
    trained = _trained(arm, config, number, epochs, info, draw)
    return replace(trained, state=state, control=control, reason=reason)


def _replicate(
    finalist: TrialResult, replicate: int, number: int, info: TaskInfo, draw: random.Random
) -> TrialResult:
    result = _trained(finalist.arm, finalist.config, number, 27, info, draw)
    assert result.value is not None
    gap = -0.01 if info.metric.maximize else 0.02
    test = {info.metric.name: result.value + gap + draw.gauss(0, 0.004), "loss": 0.21}
    return replace(
        result, phase="confirm", finalist=finalist.number, replicate=replicate, test=test
    )


def _trained(
    arm: str, config: TrialConfig, number: int, epochs: int, info: TaskInfo, draw: random.Random
) -> TrialResult:
    rate, width = config.learning_rate, config.hidden_size
    miss = _QUALITY.get(config.cell, 0.03) + 0.05 * abs(math.log10(rate) + 2.4)
    miss += 0.15 / width + draw.gauss(0, 0.006)
    speed = 0.05 + 12 * rate
    parameters = config.depth * 4 * width * (12 + width) + 9 * width
    curve = []
    for epoch in range(1, epochs + 1):
        left = min(0.92, max(0.004, miss) + 0.8 * math.exp(-speed * epoch) + draw.gauss(0, 0.008))
        value = min(1.0, 1 - left) if info.metric.maximize else 0.4 + 2.2 * max(0.0, left)
        seconds = (0.05 + parameters / 400_000) * draw.uniform(0.9, 1.2)
        time = _START + 1000 * (number * 30 + epoch)
        curve.append(Epoch(epoch, 2.2 * abs(left), value, seconds, time, {info.metric.name: value}))
    return trial_result(
        number,
        info.metric.best(epoch.value for epoch in curve),
        arm=arm,
        config=config,
        seed=draw.randrange(2**32),
        epochs=epochs,
        metric=info.metric,
        curve=curve,
        parameters=parameters,
        train_seconds=sum(epoch.seconds for epoch in curve),
    )

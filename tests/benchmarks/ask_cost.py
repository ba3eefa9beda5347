"""What a suggestion costs as an arm grows, and that the window behind it costs no quality.

    python tests/benchmarks/ask_cost.py [--trials 100,1000,10000] [--seeds 20] [--out FILE.json]

Cost: one suggestion of a job's own study, against Optuna's grouped TPE on the same trials in the
same run, in CPU time of one thread (on an idle machine that is wall time). Ratios above 1: ours is
faster. Beside it, what a trial's report and end cost on the journal's study.
And one decision of freeze-thaw, which paused trial goes on or which begins, on trials all paused
after some epochs; the fit of its hyperparameters, a few in a whole search, is told by itself.

Quality: TPE that sees a window of trials against TPE that sees all of them, on a synthetic space of
eight parameters with noise and an interaction, seeds paired, longer than a window. The figure is
the true value of the best configuration found; the interval is a bootstrap over seeds of the
median difference. The exit code is 1 if the window is worse for certain.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.study.arm_study import ArmStudy
from search.study.decisions import Decision
from search.study.journal_backend import JournalBackend
from search.study.optuna_compat import StoredStudy
from search.study.sampler_storage import SuggestionStorage
from search.study.seeds import derive_seed
from search.study.window import TrialWindow
from spaces.kinds import Metric
from spaces.tasks import TaskInfo

INFO = TaskInfo(
    name="synthetic",
    kind="classification",
    inputs=12,
    outputs=9,
    longest=29,
    metric=Metric("accuracy", "maximize"),
    fingerprint="f" * 64,
)
JOB: dict[str, Any] = {
    "name": "ask-cost",
    "task": {"name": "japanese-vowels"},
    "arms": ["lstm"],
    "space": {
        "depth": {"low": 1, "high": 3},
        "hidden_size": {"low": 8, "high": 512},
        "learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "batch_size": {"low": 8, "high": 64},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "optimizer": {"choices": ["adam", "adamw", "sgd"]},
        "gradient_clip": {"choices": [None, 1.0, 5.0]},
    },
    "training": {"max_epochs": 9},
    "search": {"trials": 10_000, "sampler": "tpe"},
}
SPACE: dict[str, BaseDistribution] = {
    **{f"x{n}": FloatDistribution(0, 1) for n in range(5)},
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "depth": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}
NOISE = 0.02


def cost(sizes: list[int], asks: int) -> list[dict[str, float]]:
    """Return a row of figures, in ms, for each number of trials."""
    job = JobSpec.loads(json.dumps(JOB))
    job_state = JobState()
    job_state.info = INFO
    stock = optuna.create_study(direction="maximize")
    rows = []
    with tempfile.TemporaryDirectory() as folder, FileJournal(Path(folder) / "j") as journal:
        storage = JournalStorage(JournalBackend(journal, []))
        study = ArmStudy(job, job.arms[0], job_state, storage)
        stored = StoredStudy(storage, f"{job.name}/{job.arms[0].name}", "maximize")
        trial_ms: list[float] = []
        for number in range(max(sizes)):
            # Random ones take no time; none is a control trial, so that some are pruned.
            value = begin(study, number)
            begun = time.process_time()
            stopped = any(
                study.report_value(number, e, value * (1 - 0.5**e)) is Decision.STOP
                for e in range(1, 10)
            )
            study.end_trial(number, "pruned" if stopped else "complete", value)
            trial_ms.append(1e3 * (time.process_time() - begun))
            journal.commit()
            stock.add_trial(plain(stored.trial(number)))
            if number + 1 in sizes:
                ours = timed(lambda n: suggest(study, n), number + 1, asks)
                theirs = timed(lambda n: ask_stock(stock, n), number + 1, max(3, asks // 8))
                rows.append(
                    {
                        "trials": number + 1,
                        "ours_ms": statistics.median(ours),
                        "ours_worst_ms": max(ours),
                        "stock_ms": statistics.median(theirs),
                        "ratio": statistics.median(theirs) / statistics.median(ours),
                        "reports_and_end_ms": statistics.median(trial_ms[-100:]),
                    }
                )
                show(rows[-1])
    return rows


def begin(study: ArmStudy, number: int) -> float:
    """Begin a trial with a configuration drawn at random; return the value that its curve nears."""
    suggestion = study.prepare_suggestion(number, control=True)()
    config = study.start_trial(number, replace(suggestion, control=False))
    value = 0.5 - abs(math.log10(config.learning_rate) + 2.5) / 9 - config.dropout / 9
    return value + derive_seed(0, number) / 2**32 / 20


def decision_cost(sizes: list[int], decisions: int) -> list[dict[str, float]]:
    """Return what a decision of freeze-thaw costs, in ms, for each number of paused trials."""
    job = JobSpec.loads(json.dumps({**JOB, "search": {"trials": 10_000, "sampler": "freeze-thaw"}}))
    job_state = JobState()
    job_state.info = INFO
    rows = []
    with tempfile.TemporaryDirectory() as folder, FileJournal(Path(folder) / "j") as journal:
        storage = JournalStorage(JournalBackend(journal, []))
        study = ArmStudy(job, job.arms[0], job_state, storage)
        for number in range(max(sizes)):
            value = begin(study, number)
            for epoch in range(1, 2 + number % 8):
                study.report_value(number, epoch, value * (1 - 0.5**epoch))
            study.pause(number)
            journal.commit()
            if number + 1 in sizes:
                begun = time.process_time()
                study.next_thaw(may_begin=True)  # fits the hyperparameters
                fit_ms = 1e3 * (time.process_time() - begun)
                found = timed(lambda _: study.next_thaw(may_begin=True), number + 1, decisions)
                rows.append(
                    {
                        "trials": number + 1,
                        "decision_ms": statistics.median(found),
                        "worst_ms": max(found),
                        "fit_ms": fit_ms,
                    }
                )
                print(
                    f"{number + 1:>6} paused trials: decision {rows[-1]['decision_ms']:.1f} ms "
                    f"(worst {max(found):.1f}), with a fit {fit_ms:.0f} ms",
                    flush=True,
                )
    return rows


def plain(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as a stock study has it: with whole numbers as such."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    params["hidden_size"] = min(max(round(params["hidden_size"]), 8), 512)
    distributions["hidden_size"] = IntDistribution(8, 512)
    return create_trial(
        state=trial.state,
        value=trial.value,
        params=params,
        distributions=distributions,
        intermediate_values=trial.intermediate_values,
    )


def suggest(study: ArmStudy, number: int) -> None:
    study.prepare_suggestion(number, control=False)()


def ask_stock(study: optuna.Study, number: int) -> None:
    study.sampler = tpe(number)
    trial = study.ask(distributions(study))
    study.tell(trial, state=TrialState.FAIL)


def distributions(study: optuna.Study) -> dict[str, BaseDistribution]:
    return study.get_trials(deepcopy=False)[0].distributions


def timed(ask: Callable[[int], Any], number: int, times: int) -> list[float]:
    """Return CPU times of asks, in ms, after one that is not counted."""
    ask(number)
    found = []
    for _ in range(times):
        begun = time.process_time()
        ask(number)
        found.append(1e3 * (time.process_time() - begun))
    return found


def tpe(seed: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def truth(params: dict[str, Any]) -> float:
    """Return the value without noise, to be minimized; at best 0."""
    centre = {"a": 0.3, "b": 0.6, "c": 0.8}[params["kind"]]
    bowl = sum((params[f"x{n}"] - centre) ** 2 for n in range(3))
    valley = (params["x3"] + params["x4"] - 1) ** 2 + 0.1 * (params["x3"] - 0.7) ** 2
    rate = ((math.log10(params["rate"]) + 2.5) / 3) ** 2
    return bowl + valley + rate + 0.05 * abs(params["depth"] - 2) + 0.1 * (params["kind"] != "b")


def search(seed: int, trials: int, window: bool) -> float:
    """Return the true value of the configuration that measured best."""
    known = TrialWindow(Metric("loss", "minimize"), fetch=lambda number: asked[number])
    asked: dict[int, Any] = {}
    best = (math.inf, math.inf)
    for number in range(trials):
        shown = known.window() if window else known.whole()
        storage = SuggestionStorage("synthetic", [StudyDirection.MINIMIZE], shown, number, {})
        trial = storage.ask(tpe(derive_seed(seed, number)))
        for name, distribution in SPACE.items():
            ask_for(trial, name, distribution)
        noise = np.random.default_rng((seed, number)).normal(scale=NOISE)
        value = truth(trial.params) + noise
        best = min(best, (value, truth(trial.params)))
        ended = create_trial(value=value, params=trial.params, distributions=SPACE)
        ended.number = number
        known.ended(ended)
    return best[1]


def ask_for(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution(choices=choices):
            trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high):
            trial.suggest_int(name, low, high)
        case FloatDistribution(low=low, high=high, log=log):
            trial.suggest_float(name, low, high, log=log)


def quality(seeds: int, trials: int) -> dict[str, Any]:
    """Return the figures of windowed and full TPE over paired seeds."""
    pairs = []
    for seed in range(seeds):
        pairs.append((search(seed, trials, True), search(seed, trials, False)))
        print(f"  seed {seed}: window {pairs[-1][0]:.4f}, all {pairs[-1][1]:.4f}", flush=True)
    differences = np.array([window - whole for window, whole in pairs])
    draws = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    low, high = np.quantile(np.median(differences[draws], axis=1), [0.025, 0.975])
    return {
        "seeds": seeds,
        "trials": trials,
        "window": statistics.median(window for window, _ in pairs),
        "all": statistics.median(whole for _, whole in pairs),
        "difference": float(np.median(differences)),
        "interval": [float(low), float(high)],
        "window_at_least_as_good": int((differences <= 0).sum()),
    }


def show(row: dict[str, float]) -> None:
    print(
        f"{row['trials']:>6} trials: suggestion {row['ours_ms']:.1f} ms "
        f"(worst {row['ours_worst_ms']:.1f}), stock {row['stock_ms']:.1f} ms, "
        f"ratio {row['ratio']:.1f}; reports and end {row['reports_and_end_ms']:.2f} ms",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", default="100,1000,10000")
    parser.add_argument("--asks", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=20, help="of the comparison; 0 leaves it out")
    parser.add_argument("--length", type=int, default=500, help="trials of the comparison")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sizes = [int(n) for n in given.trials.split(",")]
    found: dict[str, Any] = {
        "cost": cost(sizes, given.asks),
        "freeze-thaw": decision_cost(sizes, given.asks),
    }
    if given.seeds:
        found["quality"] = quality(given.seeds, given.length)
        print(json.dumps(found["quality"]))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2))
    return 1 if given.seeds and found["quality"]["interval"][0] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())

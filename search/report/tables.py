"""The report's tables as HTML. Every text passes through `_text`, which escapes it."""

import html
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import yaml

from search.job.folder import JOB_FILE
from search.journal.trial import TrialResult
from search.results.figures import ArmSummary, Comparison
from search.results.format import ABSENT, count, plain, seconds, signed, spread, value
from search.results.importance import varying

if TYPE_CHECKING:
    from search.results.read import Results

_PACKAGES = ("gatesearch", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")
_REASON = 400  #: characters of a failure's reason


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1, caption: str = ""
) -> str:
    """Return a table of cells that are HTML already; the first `texts` columns are words."""
    kinds = ["" if position < texts else ' class="number"' for position in range(len(head))]
    top = "".join(
        f'<th scope="col"{kind}>{_text(cell)}</th>' for cell, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    title = f"<h3>{_text(caption)}</h3>" if caption else ""
    return (
        f'{title}<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def arms(figures: Comparison) -> str:
    """Return the table that ends a run, one row an arm."""
    head = (
        "arm",
        "cell",
        f"validation {figures.metric.name} in the search",
        "parameters",
        "training time",
    )
    more = (f"test {figures.metric.name}, mean ± sd", "fresh seeds")
    return table((*head, *more), [_arm(figures, arm) for arm in figures.arms], texts=2)


def _arm(figures: Comparison, arm: ArmSummary) -> list[str]:
    leader, leading = arm.leader, arm.leading
    test = leading.test if leading else None
    cells = ", ".join(arm.cells) + (" (chosen by the trial)" if arm.pooled else "")
    return [
        name(figures, arm.name),
        _text(cells),
        value(leader.value if leader else None),
        count(leader.parameters if leader else None),
        seconds(leader.train_seconds if leader else None),
        f"<strong>{spread(test.mean, test.deviation)}</strong>" if test else ABSENT,
        count(test.n if test else 0) + (f" of {count(leading.seeds)}" if leading else ""),
    ]


def spent(figures: Comparison) -> str:
    """Return what each arm's search was spent on."""
    states = ("complete", "pruned", "diverged", "failed", "running")
    rows = [
        [
            name(figures, arm.name),
            count(arm.trials),
            *(count(arm.states[state]) for state in states),
            count(arm.controls),
            count(arm.epochs),
            seconds(arm.worker_seconds),
        ]
        for arm in figures.arms
    ]
    head = ("arm", "trials ended", *states, "of all: at random", "epochs", "training time")
    return table(head, rows, caption="Spent in the search")


def finalists(figures: Comparison) -> str:
    """Return the confirm phase: one row a finalist."""
    rows = []
    for arm in figures.arms:
        several = len(arm.finalists) > 1
        for each in arm.finalists:
            test, validation = each.test, each.validation
            rows.append(
                [
                    name(figures, arm.name),
                    str(each.number) + (" (stands for its arm)" if each.leads and several else ""),
                    value(each.search_value),
                    spread(validation.mean, validation.deviation) if validation else ABSENT,
                    f"<strong>{spread(test.mean, test.deviation)}</strong>" if test else ABSENT,
                    value(test.low if test else None),
                    value(test.high if test else None),
                    f"{count(test.n if test else 0)} of {count(each.seeds)}",
                    count(each.parameters),
                    seconds(each.train_seconds.mean if each.train_seconds else None),
                ]
            )
    head = ("arm", "search trial", "search value", "validation", "test, mean ± sd", "test min")
    more = ("test max", "fresh seeds", "parameters", "mean training time")
    return table((*head, *more), rows, texts=2, caption="Finalists") if rows else ""


def differences(figures: Comparison) -> str:
    """Return the paired differences, labelled as what they are."""
    rows = [
        [
            f"{name(figures, each.first)} − {name(figures, each.second)}",
            signed(each.difference.mean),
            value(each.difference.deviation),
            signed(each.difference.low),
            signed(each.difference.high),
            count(each.difference.n),
            _text(each.favours or "neither"),
        ]
        for each in figures.differences
    ]
    head = ("difference", "mean", "sd", "min", "max", "pairs", "mean is in favour of")
    title = (
        f"Differences in test {figures.metric.name}, paired by seed: descriptive, no test was made"
    )
    return table(head, rows, caption=title) if rows else ""


def configurations(figures: Comparison) -> str:
    """Return the best configurations side by side; what differs is marked."""
    shown = [(arm, arm.leader) for arm in figures.arms if arm.leader]
    if not shown:
        return "<p>No trial has been trained to its end.</p>"
    configs = [leader.config for _, leader in shown]
    different = set(varying(configs))
    rows = [
        [
            f"<strong>{_text(field)}</strong>" if field in different else _text(field),
            *(_text(plain(getattr(config, field))) for config in configs),
        ]
        for field in type(configs[0]).model_fields
    ]
    rows.append(["search trial", *(str(leader.number) for _, leader in shown)])
    head = ("setting", *(arm.name for arm, _ in shown))
    note = (
        "<p>The configuration that leads each arm. Settings in bold differ between arms.</p>"
        if len(shown) > 1
        else ""
    )
    return note + table(head, rows)


def trials(results: "Results") -> str:
    """Return the frame of the trials table; the page's script fills it from the data."""
    number = len(results.records)
    if not number:
        return "<p>No trial has started.</p>"
    return (
        f"<p>{count(number)} trials and replicates. Click a heading to sort. Values of trials that "
        "are not complete are early scores; they are grey and take part in no comparison.</p>"
        '<div class="filters" id="filters"></div>'
        '<div class="scroll"><table id="trial-table"><thead></thead><tbody></tbody></table></div>'
        '<div class="pages" id="pages"></div>'
        "<noscript><p>The table needs JavaScript; the same rows are in results.parquet.</p>"
        "</noscript>"
    )


def trial_rows(results: "Results") -> dict[str, Any]:
    """Return the rows of the trials table: plain values, escaped nowhere, set as text only."""
    metric = results.info.metric.name
    names = varying([each.config for each in results.records if each.phase == "search"])
    measured = any(each.latency_ms is not None for each in results.records)
    head = ["phase", "arm", "trial", "state", "value", "test", "epochs", "parameters", "seconds"]
    rows = [
        [
            each.phase,
            each.arm,
            each.number,
            each.state,
            each.value,
            (each.test or {}).get(metric),
            each.epochs,
            each.parameters,
            round(each.train_seconds, 3),
            *([each.latency_ms and round(each.latency_ms, 4)] if measured else []),
            "at random" if each.control else _origin(each),
            *(
                plain(setting) if setting is None or isinstance(setting, bool) else setting
                for setting in (getattr(each.config, field) for field in names)
            ),
            each.seed,
        ]
        for each in results.records
    ]
    head += ["latency ms"] if measured else []
    return {"head": [*head, "drawn", *names, "seed"], "rows": rows}


def _origin(record: TrialResult) -> str:
    if record.phase == "search":
        return "by sampler"
    return f"finalist {record.finalist}, replicate {record.replicate}"


def failures(records: Sequence[TrialResult]) -> str:
    """Return what failed or diverged, gathered by arm, state and reason."""
    gathered: dict[tuple[str, str, str, str], list[int]] = {}
    for each in records:
        if each.state in ("failed", "diverged"):
            reason = (each.reason or "no reason was recorded")[:_REASON]
            gathered.setdefault((each.arm, each.phase, each.state, reason), []).append(each.number)
    if not gathered:
        return "<p>No trial failed or diverged.</p>"
    rows = [
        [
            _text(arm),
            phase,
            state,
            count(len(numbers)),
            ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else ""),
            f'<span class="reason">{_text(reason)}</span>',
        ]
        for (arm, phase, state, reason), numbers in sorted(gathered.items())
    ]
    return table(("arm", "phase", "state", "number", "trials", "reason"), rows, texts=6)


def reproduce(results: "Results") -> str:
    """Return the job file, the data's fingerprint and the versions in use."""
    job = results.folder / JOB_FILE
    text = job.read_text() if job.is_file() else yaml.safe_dump(results.job.dump(), sort_keys=False)
    info = results.info
    return (
        "<p>Save this as <code>job.yaml</code> where the job file was (its relative paths start "
        "there) and run <code>gatesearch run job.yaml</code>. With "
        "the same versions, machine and one trial at a time every trial comes out the same; "
        "several at a time may be suggested in another order.</p>"
        f"<pre><code>{_text(text)}</code></pre>"
        + table(
            ("data", ""),
            [
                ["task", _text(f"{info.name} ({info.kind})")],
                ["inputs, outputs", f"{count(info.inputs)}, {count(info.outputs)}"],
                ["longest sequence", f"{count(info.longest)} steps"],
                ["fingerprint (sha256)", f"<code>{_text(info.fingerprint) or ABSENT}</code>"],
            ],
            texts=2,
        )
        + table(
            ("versions where this report was written", ""),
            [[_text(package), _text(number)] for package, number in _versions()],
            texts=2,
        )
    )


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return [("python", platform.python_version()), *found, ("machine", machine)]


def name(figures: Comparison, arm: str) -> str:
    """Return an arm's name with its colour beside it."""
    position = [each.name for each in figures.arms].index(arm)
    return f'<span class="arm arm-{position % 7}">{_text(arm)}</span>'


def _text(words: str) -> str:
    return html.escape(words)

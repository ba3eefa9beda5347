"""All findings: as a table, as Markdown for a page, as JSON."""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from search.journal.trial import as_json
from search.results.claims.finding import Finding
from search.results.claims.table import PREFIX, Claim
from search.results.read import Results
from search.results.tables import Column, Marked, Table
from spaces.text import listed

_PACKAGES = ("gatesearch", "torch", "ray", "optuna")


@dataclass(frozen=True)
class Examined:
    """A claim with what each of its tasks says about it."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """Return how often it holds, as "holds 2, cannot tell 1"."""
        answers = Counter(finding.answer for finding in self.findings)
        return ", ".join(f"{answer} {number}" for answer, number in answers.most_common())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        claim = self.claim
        return {
            "name": claim.name,
            "sentence": claim.sentence,
            "source": claim.source,
            "findings": [as_json(finding) for finding in self.findings],
        }


def examine(claim: Claim, results: Mapping[str, Results]) -> Examined:
    """Return what the jobs that there are say about a claim; results: by the jobs' names."""
    return Examined(claim, tuple(_findings(claim, results)))


def _findings(claim: Claim, results: Mapping[str, Results]) -> Iterator[Finding]:
    for job in claim.jobs:
        if (found := results.get(job)) is None:
            yield Finding(job, "", "cannot tell", f"the job {PREFIX}{job} has not been run")
            continue
        unfinished = "" if found.finished else "; the job is unfinished"
        for one in claim.rule(found):
            yield replace(one, numbers=one.numbers + unfinished)


def table(examined: Sequence[Examined]) -> Table:
    """Return one row for each claim and task."""
    columns = (
        Column("claim", "text"),
        Column("task", "text"),
        Column("compared", "long"),
        Column("answer", "text"),
        Column("numbers", "long"),
    )
    rows = tuple(
        (
            one.claim.name if number == 0 else "",
            finding.task,
            finding.what,
            Marked(finding.answer, "strong"),
            finding.numbers,
        )
        for one in examined
        for number, finding in enumerate(one.findings)
    )
    return Table("Claims", columns, rows)


def markdown(examined: Sequence[Examined], results: Mapping[str, Results]) -> str:
    """Return all findings as a table in Markdown, below a line on when and with what they were."""
    lines = [_measured(results), "", "| claim | task | compared | answer | numbers |"]
    lines.append("|---|---|---|---|---|")
    for one in examined:
        for number, finding in enumerate(one.findings):
            first = f"{one.claim.sentence} ({one.claim.source})" if number == 0 else ""
            cells = (first, finding.task, finding.what, f"**{finding.answer}**", finding.numbers)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _measured(results: Mapping[str, Results]) -> str:
    """Return when the jobs were trained, by their journals, and with which versions here."""
    times = [
        epoch.time
        for found in results.values()
        for trial in found.trials
        for epoch in trial.curve
        if epoch.time
    ]
    packages = listed([f"{name} {version(name)}" for name in _PACKAGES])
    when = f"Trained {_days(times)}; " if times else ""
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return f"{when}{packages}, {here}."


def _days(times: Sequence[int]) -> str:
    first, last = (
        datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d")
        for time in (min(times), max(times))
    )
    return f"on {first}" if first == last else f"from {first} to {last}"

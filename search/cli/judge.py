"""The command that judges results which another tool made."""

import math
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from search.cli.options import AsJson, user_path
from search.cli.terminal import below_here, print_json, print_note, wide_console
from spaces.errors import InputError
from spaces.kinds import Direction, known_metrics
from spaces.text import show

app = typer.Typer()


@app.command()
def judge(
    results: Annotated[
        Path, typer.Argument(help="A CSV file.", metavar="RESULTS.csv", parser=user_path)
    ],
    metric: Annotated[str, typer.Option(help="What the values are.")] = "accuracy",
    direction: Annotated[
        Direction | None, typer.Option(help="Which values are better; known for our metrics.")
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            help="Difference up to which two values count as the same, such as 0.01 or 2%; by "
            "default 0.01 of what is maximized, 2% of what is minimized."
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Of claims and intervals, such as 0.95.")
    ] = 0.95,
    baseline: Annotated[
        float | None, typer.Option(help="Value of a trivial prediction that arms must beat.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Examples in a training and in a test part, such as 800:200, where splits are of "
            "the same data: adds an interval that allows for their overlap."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page there.", parser=user_path)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which arm is better in results that any tool made, by how much, and how sure that is.

    RESULTS.csv has the columns arm, value, and replicate (or pair, or split), which says what two
    arms' results have in common; optional are task and configuration.

    Example: gatesearch judge results.csv --metric accuracy --margin 0.01
    """
    from search.results import elsewhere, terminal
    from search.results.evidence.pairs import parse_margin
    from spaces.kinds import Metric

    directions = {known.name: known.direction for known in known_metrics()}
    chosen = direction or directions.get(metric)
    if chosen is None:
        rule = f"--direction must be given with the metric {show(metric)}, which is none of ours"
        raise InputError.of("gatesearch judge", rule, "add --direction maximize, or minimize")
    if not 0.5 < confidence < 1:
        rule = f"--confidence must lie between 0.5 and 1, not be {confidence:g}"
        raise InputError.of("gatesearch judge", rule, "give 0.95, or leave it out")
    if baseline is not None and not math.isfinite(baseline):
        rule = f"--baseline must be a finite number, not {baseline}"
        raise InputError.of("gatesearch judge", rule, "give a value of the metric, or leave it out")
    judged = Metric(metric, chosen)
    found, notes, across = elsewhere.verdicts(
        results,
        metric=judged,
        margin=None if margin is None else parse_margin(margin),
        confidence=confidence,
        baseline=baseline,
        test_to_train=None if sizes is None else _test_to_train(sizes),
    )
    for note in notes:
        print_note(note)
    if report is not None:
        from search.report.verdicts_page import write_verdicts

        better = dict.fromkeys(found, judged.maximize)
        title = f"{metric} in {results.name}"
        write_verdicts(report, title, found, maximize=better, across=across, notes=notes)
        print_note(f"the page is {below_here(report)}")
    if as_json:
        tasks = {task: verdict.as_dict() for task, verdict in found.items()}
        together = None if across is None else across.as_dict()
        print_json(tasks.get("", {"tasks": tasks, "across": together}))
        return
    console = wide_console()
    if across is not None:
        console.print(terminal.across(across))
    for task, verdict in found.items():
        if task:
            console.rule(escape(task), align="left")
        console.print(terminal.verdict(verdict, maximize=judged.maximize))


def _test_to_train(text: str) -> float:
    """Return the quotient of sizes such as 800:200. Raises InputError."""
    match = re.fullmatch(r"\s*([1-9][0-9]{0,12})\s*:\s*([1-9][0-9]{0,12})\s*", text)
    if match is None:
        rule = f"--sizes must be two numbers of examples, training:test, not {show(text)}"
        raise InputError.of("gatesearch judge", rule, "give 800:200, or leave it out")
    return int(match[2]) / int(match[1])

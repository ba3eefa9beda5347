"""The views with which MLflow opens on a job's answer, and what an experiment's note says of them.

Until replicates have been scored on test data, they show the trials of the search.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search.tracking.clean import clean_name
from search.tracking.saved_view import (
    RUNS_SHOWN,
    VIEW_TAG,
    bars,
    by_metric,
    curves,
    parallel,
    scatter,
    view_tag,
)
from spaces.kinds import Metric

ARM_NUMBER = "arm_number"  #: metric of a trial: its arm's place in the job file, from 0
#: What each view is called in MLflow's menu, by the key in its address; the first one is opened.
VIEWS = {
    "arms": "Arms compared",
    "settings": "Parallel coordinates",
    "curves": "Learning curves of finalists",
    "seeds": "Every replicate",
}
_MOST_AXES = 8  #: of parallel coordinates, beside arm and value


@dataclass(frozen=True)
class Shown:
    """What the views of a job depend on."""

    metric: Metric
    arms: Sequence[str]
    searched: Sequence[str]  #: params that differ between trials of one arm
    confirmed: bool  #: whether replicates have been scored on test data
    time: int  #: of the job's beginning, in milliseconds


def view_tags(shown: Shown) -> dict[str, str]:
    """Return the experiment's tags that make the views."""
    metric = shown.metric.name
    name, best, test = map(clean_name, (metric, f"best_{metric}", f"test_{metric}"))
    decisive, phase = (test, "confirm") if shown.confirmed else (best, "search")
    best_of = "average" if shown.confirmed else ("max" if shown.metric.maximize else "min")
    runs = f"tags.phase = '{phase}'"
    ended = runs if shown.confirmed else f"{runs} and tags.state = 'complete'"
    made, order = shown.time, by_metric(decisive)
    axes = ["arm", *map(clean_name, shown.searched[:_MOST_AXES])]
    tags = {
        "arms": view_tag(
            VIEWS["arms"],
            [bars(decisive), curves(name), bars("train_seconds"), bars("parameters")],
            runs=runs,
            group="arm",
            aggregate=best_of,
            order=order,
            time=made,
        ),
        "settings": view_tag(
            VIEWS["settings"],
            [parallel(axes, [best, ARM_NUMBER])],
            runs="tags.phase = 'search'",
            order=by_metric(best),
            time=made,
            columns=1,
            height=400,
        ),
        "curves": view_tag(
            VIEWS["curves"],
            [curves(each) for each in (name, "train_loss", "gradient_norm", "learning_rate")],
            runs=ended,
            group="finalist" if shown.confirmed else "arm",
            order=order,
            time=made,
        ),
        "seeds": view_tag(
            VIEWS["seeds"],
            [scatter(ARM_NUMBER, decisive), scatter("parameters", decisive)],
            runs=ended,
            order=order,
            time=made,
        ),
    }
    return {f"{VIEW_TAG}{key}": text for key, text in tags.items()}


def reading_note(shown: Shown) -> str:
    """Return how to read the experiment's page, in Markdown."""
    arms = ", ".join(f"{number} is {arm}" for number, arm in enumerate(shown.arms))
    tested = f"`test_{shown.metric.name}` is what the verdict rests on"
    if not shown.confirmed:
        tested = "no replicate has been scored on test data yet, so they show the search"
    return f"""\
The views are in the menu at the top of the runs' page:

| view | shows |
|---|---|
| {VIEWS["arms"]} | each arm as one bar or curve, over its replicates; {tested} |
| {VIEWS["settings"]} | what the search tried, one line a trial, coloured by arm |
| {VIEWS["curves"]} | each finalist's curves, with a band over its replicates |
| {VIEWS["seeds"]} | one dot a replicate |

`{ARM_NUMBER}` is an arm's number where a page wants one: {arms}. A page loads {RUNS_SHOWN} runs at
first, the best ones; "Load more" is below its list. Exact figures are in the job's own run, the
parent of all others: its description, its tables and report.html."""

"""The figure of when each trial was trained, and how many at once."""

from search.report.frame import Figure, empty, styles
from search.results.figures import Comparison
from search.results.format import plural, seconds
from search.results.read import Results
from search.results.timeline import Timeline, timeline

_TITLE = "Timeline"
_NOT_FOR = (
    "Not for saying which arm trains faster: arms have different settings, and trials side by "
    "side share the machine."
)
_LANE = 16  #: pixels of its height, where there are few
_HIGHEST = 520


def slots(figures: Comparison, results: Results) -> Figure:
    """Return a bar for each trial and replicate, over the time of the job."""
    found = timeline(results.trials)
    if not found.stretches:
        reason = "No epoch has been reported with its time."
        return empty("timeline", "Timeline", _TITLE, reason)
    lane = max(3, min(_LANE, _HIGHEST // found.lanes))
    caption = (
        "One bar a trial, from its first to its last epoch; faint: pruned, diverged or failed; "
        "with a line below: replicates.",
        "The journal does not name workers: a bar stands in the first lane that is free. Trials "
        "that one worker trains at once overlap."
        + (" Dashed lines: pauses of the whole job, cut out." if found.cuts else ""),
    )
    given = {
        "bars": [
            [each.row, round(each.start, 2), round(each.end, 2), each.lane]
            for each in found.stretches
        ],
        "cuts": [[round(at, 2), seconds(away)] for at, away in found.cuts],
        "length": round(found.length, 2),
        "lanes": found.lanes,
        "lane": lane,
        "arms": [{"name": style.name, "colour": style.colour} for style in styles(figures)],
    }
    height = 70 + lane * found.lanes
    return Figure(
        "timeline",
        "Timeline",
        _title(found),
        caption,
        [],
        {},
        height,
        _NOT_FOR,
        drawer="timeline",
        given=given,
    )


def _title(found: Timeline) -> str:
    return (
        f"{_TITLE}: {plural(found.lanes, 'trial')} at once at most, {found.at_once:.1f} on "
        f"average, over {seconds(found.length)}"
    )

"""Makes the report of a job that runs, whenever it is asked: `python -m search.watch.reporter`.

    python -P -m search.watch.reporter FOLDER REPORT.html

It is a process of its own, since a report of many trials takes long, and one that gives way to all
others. A line on standard input asks for one; the answer is a line of JSON: what the page has to
know of the report that is written, or {"error": text}. It ends with its input.
"""

import base64
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from search.watch.follow import AT_ONCE, Followed
from spaces.errors import GatesearchError

_PRIORITY = 10  # by which it is nicer than others


def main(folder: Path, target: Path) -> int:
    """Answer requests until there are no more."""
    os.nice(_PRIORITY)
    followed = Followed(folder)
    for _ in sys.stdin:
        try:
            told = made(followed, target)
        except (GatesearchError, OSError) as error:
            told = {"error": str(error)}
        os.write(1, json.dumps(told).encode() + b"\n")
    return 0


def made(followed: Followed, target: Path) -> dict[str, Any]:
    """Write the report of what a journal holds now, and return what the page says of it.

    {"sentence": the verdict's, "phase", "trials", "groups": read of the journal, "made": Unix time
    in ms, "hashes": of the scripts in the report, for its policy}; {"error"} before any trial
    """
    from search.report.page import write_report
    from search.results.read import results_of
    from search.results.summarise import compare

    while followed.read() == AT_ONCE:
        pass
    if followed.job is None:
        return {"error": "the job has not begun its first trial"}
    results = results_of(followed.folder, followed.job, followed.job_state)
    comparison = compare(results)
    write_report(results, target, comparison)
    return {
        "sentence": comparison.verdict.sentence,
        "phase": followed.job_state.phase,
        "trials": sum(trial.state != "running" for trial in results.trials),
        "groups": followed.groups,
        "made": time.time_ns() // 1_000_000,
        "hashes": script_hashes(),
    }


def script_hashes() -> list[str]:
    """Return what a Content-Security-Policy calls the scripts of a report."""
    from search.report.page import scripts

    return [
        f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
        for text in scripts()
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""What tracking costs a search whose workers train for real, and whether every point is there once.

    python tests/benchmarks/tracking_slowdown.py [--rounds 1] [--epochs 55] [--apart]

Each round runs one job of two arms again and again, as whole `gatesearch run` processes: without a
mirror in every second one, and in turn with one whose server is (an epoch takes a fifth of a second
of a core; most jobs have longer ones, which give the mirror less to do)

    sqlite    none: the database is beside the job's folder, as without a setting
    well      an MLflow server over HTTP
    dead, errors, hanging    the same, failing while the middle third of all epochs is trained

A line a run tells seconds: `search`, from the first trial's beginning to the last one's end;
`trained`, from the shell to that end, with all that starts; `command`, from the shell and back. And
`used`, the seconds of processor time until that end: of the mirror, the workers, the rest of the
job, and of what a user has elsewhere, MLflow's server and the door before it.

A last line for each server tells by how many percent `search` and `trained` are longer than the
means of its two neighbours without a mirror, with intervals of 95 % from how the runs without one
differ; and the mirror's processor time until that end, in percent of all that the job's cores had
(`mirror_percent`) and of what the rest of the job has used (`share_percent`): by so much it slows a
job that leaves no core idle, and that can be told on a busy machine, too.

The server takes its processor time from the same cores. --apart keeps one core for it alone and
gives the job the others: what is left is the mirror's cost. It needs two cores or more. Run it on a
quiet machine: eleven minutes on two cores.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import psutil
from faulty_server import Fault, FaultyServer, faulty
from scipy import stats
from tracking import points_of, server, stored_points

from search.journal.file import FileReader
from search.tracking.mirror import mirror_once
from search.tracking.state import mirror_state

NAME = "tracked"
ARMS, TRIALS = ("lstm", "gru"), 4
SERVERS = ("sqlite", "well", "dead", "errors", "hanging")
WITHOUT = "import search.tracking.mirror as m; m.start_mirrors = lambda *_: []; "
RUN = "from search.cli import main; main()"
LOOK = 0.5  #: seconds between two looks at journal and processes


class Looks:
    """Looks at a job that runs: how far it is, and what its processes have used so far."""

    def __init__(self, folder: Path, command: int, link: FaultyServer | None, fault: Fault) -> None:
        """Begin. command: pid. fault: of the link, while the middle third of epochs is trained."""
        self._reader = FileReader(folder / "job.journal")
        self._command, self._link, self._fault = command, link, fault
        self._used: dict[int, tuple[str, float]] = {}  # by pid: whose, seconds
        self._before = time.process_time()  # that this process had used
        self.all_epochs = 0
        self.epochs = 0
        self.times: list[int] = []  #: of the search's trials: beginnings and ends
        self.seen: list[tuple[float, dict[str, float]]] = []  #: when, and seconds by whose they are

    def look(self) -> None:
        """Look once."""
        for record in (record for group in self._reader.groups() for record in group):
            if record.get("record") in ("trial", "end"):
                self.times.append(record["time"])
            self.epochs += len(record.get("epochs") or ())
        if self._link is not None:
            middle = self.all_epochs <= 3 * self.epochs < 2 * self.all_epochs
            self._link.fault = self._fault if middle else "well"
        ours = psutil.Process()
        job = {self._command}
        for process in ours.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.ppid() in job or process.pid in job:
                    job.add(process.pid)
                whose = _whose(process) if process.pid in job else "server"
                self._used[process.pid] = whose, sum(process.cpu_times()[:2])
        self._used[ours.pid] = "server", time.process_time() - self._before
        sums: defaultdict[str, float] = defaultdict(float)
        for whose, seconds in self._used.values():
            sums[whose] += seconds
        self.seen.append((1000 * time.time(), dict(sums)))

    def used(self) -> dict[str, float]:
        """Return whose processes had used how many seconds when the last trial ended."""
        end = max(self.times)
        sums = next((sums for when, sums in self.seen if when >= end), self.seen[-1][1])
        return {who: round(seconds, 2) for who, seconds in sorted(sums.items())}


def _whose(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if "search.tracking.follower" in command:
        return "mirror"
    return "workers" if command.startswith("ray::") else "rest"


def job_file(epochs: int, uri: str | None, slots: int) -> str:
    """Return a job whose trials all train to the end: its work is the same in every run."""
    job = {
        "name": NAME,
        "task": {"name": "japanese-vowels"},
        "arms": list(ARMS),
        "space": {"depth": 2, "hidden_size": 256, "learning_rate": 1e-3},
        "training": {"max_epochs": epochs},
        "search": {"trials": TRIALS, "pruner": "none", "sampler": "random", "control_fraction": 0},
        "confirm": {"seeds": 0},
        "resources": {"max_concurrent": slots},
        "tracking": {"uri": uri},
    }
    return json.dumps(job)  # JSON is YAML


def run(what: str, epochs: int, cores: list[int], folder: Path) -> dict[str, Any]:
    """Run the job once; return its figures. what: one of SERVERS, or "none" for no mirror."""
    with contextlib.ExitStack() as stack:
        link, root, uri = None, folder / "runs", None
        if what not in ("none", "sqlite"):
            behind, root = stack.enter_context(server())
            link = stack.enter_context(faulty(int(behind.rpartition(":")[2])))
            uri = link.uri
        (folder / "job.yaml").write_text(job_file(epochs, uri, len(cores)))
        output = stack.enter_context((folder / "output.log").open("w+"))
        began = time.time()
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                (WITHOUT if what == "none" else "") + RUN,
                "run",
                "job.yaml",
            ],
            cwd=folder,
            env={**os.environ, "GATESEARCH_CACHE": str(folder.parent / "cache")},
            stdout=output,
            stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        place = folder / "runs" / NAME
        looks = Looks(place, process.pid, link, "well" if what in ("none", "sqlite") else what)
        looks.all_epochs = len(ARMS) * TRIALS * epochs
        while process.poll() is None:
            looks.look()
            time.sleep(LOOK)
        looks.look()
        seconds = time.time() - began
        output.seek(0)
        assert process.returncode == 0 and looks.epochs == looks.all_epochs, output.read()
        trained = max(looks.times) / 1000 - began
        found: dict[str, Any] = {
            "server": what,
            "search": (max(looks.times) - min(looks.times)) / 1000,
            "trained": round(trained, 2),
            "command": round(seconds, 2),
            "used": looks.used(),
        }
        if what != "none":
            state = mirror_state(place)
            late = not state.complete
            complete = (mirror_once(place, uri) if late else state).complete
            once = complete and stored_points(root) == points_of(place)
            failed = 0 if link is None else link.failed
            found |= {"failed_requests": failed, "late": late, "every_point_once": once}
        return found


def summary(rows: list[dict[str, Any]], cores: int) -> list[dict[str, Any]]:
    """Return what each server costs. rows: of runs in their order, every second one without."""
    pairs = defaultdict(list)
    for before, row, after in zip(rows[0::2], rows[1::2], rows[2::2], strict=False):
        pairs[row["server"]].append((row, (before, after)))
    found = []
    for what, each in pairs.items():
        told: dict[str, Any] = {"server": what}
        for span in ("search", "trained"):
            slower = statistics.mean(
                100 * math.log(2 * row[span] / sum(one[span] for one in alone))
                for row, alone in each
            )
            # One run beside the mean of two others, all of one variance.
            half = _deviation(rows[0::2], span) * math.sqrt(1.5 / len(each))
            told[f"{span}_percent"] = round(slower, 2)
            told[f"{span}_interval"] = [round(slower - half, 2), round(slower + half, 2)]
        used = [row["used"]["mirror"] / row["trained"] for row, _ in each]
        told["mirror_percent"] = round(100 * statistics.mean(used) / cores, 2)
        shares = [
            row["used"]["mirror"] / (row["used"]["workers"] + row["used"]["rest"])
            for row, _ in each
        ]
        told["share_percent"] = round(100 * statistics.mean(shares), 2)
        told["every_point_once"] = all(row["every_point_once"] for row, _ in each)
        found.append(told)
    return found


def _deviation(alone: list[dict[str, Any]], span: str) -> float:
    """Return a run's deviation in percent, times t: from steps, since a machine's speed drifts."""
    steps = [100 * math.log(b[span] / a[span]) for a, b in pairwise(alone)]
    deviation = math.sqrt(sum(step**2 for step in steps) / len(steps) / 2)
    return float(stats.t.ppf(0.975, len(steps))) * deviation


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=55, help="of each of 8 trials")
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--apart", action="store_true", help="a core for the server alone")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if asked.apart:
        os.sched_setaffinity(0, cores[-1:])
        cores = cores[:-1]
    order = [what for _ in range(asked.rounds) for what in asked.servers.split(",")]
    rows = []
    with tempfile.TemporaryDirectory(prefix="slow-", ignore_cleanup_errors=True) as name:
        runs = ["none", *(each for what in order for each in (what, "none"))]
        for number, what in enumerate(["sqlite", *runs]):  # the first one fills the cache
            folder = Path(name) / str(number)
            folder.mkdir()
            row = run(what, asked.epochs if number else 2, cores, folder)
            if number:
                rows.append(row)
                print(json.dumps(row), flush=True)
    for found in summary(rows, len(cores)):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

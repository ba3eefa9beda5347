"""Claim: the data of a job is in a node's memory once, whoever trains on it there."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from faults import workers
from installed import running
from waiting import wait_until

MEGABYTES = 48
JOB = """\
name: shared
task: {kind: classification, data: large.npz}
arms: [gru]
space: {depth: 1, hidden_size: 2, dropout: 0}
training: {batch_size: 256, max_epochs: 500}
search: {trials: 2, pruner: none}
confirm: {seeds: 0}
"""
#: A mapping's device and file, and what follows it up to the next one.
MAPPING = re.compile(
    r"^[0-9a-f]+-[0-9a-f]+ r\S+ \S+ (\S+ \d+) +(\S*plasma.*)\n((?:\w+: .*\n)+)", re.M
)


def stored(process: int) -> dict[str, tuple[float, float]]:
    """Return by file of Ray's object store how many MB a process has mapped, and has alone."""
    try:
        told = Path(f"/proc/{process}/smaps").read_text()
    except OSError:
        return {}
    found: dict[str, tuple[float, float]] = {}
    for file, _, figures in MAPPING.findall(told):
        kilobytes = {k: int(v) for k, v in re.findall(r"^(\w+): +(\d+) kB", figures, re.M)}
        alone = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
        before = found.get(file, (0.0, 0.0))
        found[file] = before[0] + kilobytes["Rss"] / 1024, before[1] + alone / 1024
    return found


@pytest.mark.slow
def test_workers_of_one_node_read_the_same_pages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 41, MEGABYTES * 2**20 // (4 * 16 * 30))
    x = rng.normal(size=(lengths.sum(), 16)).astype(np.float32)
    np.savez(tmp_path / "large.npz", x=x, lengths=lengths, y=np.arange(len(lengths)) % 2)
    (tmp_path / "shared.yaml").write_text(JOB)
    read = 0.5 * x.nbytes / 2**20  # the test part is not read yet

    def both_read(process: "subprocess.Popen[bytes]") -> bool:
        mapped = [stored(each) for each in workers(process)]
        files = [{file for file, (all_of, _) in one.items() if all_of > read} for one in mapped]
        return len([each for each in files if each]) >= 2

    with running("run", "shared.yaml", cwd=tmp_path) as process:
        wait_until(lambda: both_read(process), "two workers have read the data")
        mapped = [found for each in workers(process) if (found := stored(each))]
    files = [next(f for f, (all_of, _) in one.items() if all_of > read) for one in mapped[:2]]
    assert files[0] == files[1], "both map one file of the node"
    assert all(one[file][1] < 1 for one, file in zip(mapped, files, strict=False))

"""Claims about trials that are paused and go on from their checkpoints, on a real Ray."""

import os
import signal
from pathlib import Path

import pytest
import torch
from faults import journal, workers
from installed import alike, gatesearch, records, running
from waiting import wait_until

from search.run import session
from spaces.config import TrialConfig
from trainables.training.trainer import Training

JOB = """\
name: paused
task: {{name: adding, length: 8, examples: 200}}
arms: [rnn, gru]
space: {{depth: 1, hidden_size: {{choices: [4, 6]}}}}
training: {{max_epochs: 9}}
search:
  trials: 9
  {method}
  control_fraction: 0
  seed: 3
confirm: {{finalists: 1, seeds: 1}}
resources: {{max_concurrent: {slots}}}
"""
PROMOTION = "pruner: {kind: successive-halving, mode: promotion, min_epochs: 1}"
FREEZE_THAW = "sampler: freeze-thaw"


def write(folder: Path, slots: int, method: str = PROMOTION) -> Path:
    (folder / "paused.yaml").write_text(JOB.format(slots=slots, method=method))
    return folder / "runs" / "paused"


def test_a_thawed_trial_is_to_the_bit_what_it_would_be_undisturbed(tmp_path: Path) -> None:
    """With two workers: whichever is free takes it from its checkpoint."""
    folder = write(tmp_path, slots=2)
    gatesearch("run", "paused.yaml", cwd=tmp_path)
    thawed = {record["key"] for record in journal(folder, "thaw")}
    _, data = session.load(folder / "job.yaml")
    torch.set_num_threads(1)
    compared = 0
    for record in records(tmp_path, "paused", phase="search"):
        assert record["state"] in ("complete", "pruned")
        key = f"search/{record['arm']}/{record['number']}"
        if record["state"] != "complete" or key not in thawed:
            continue
        config = TrialConfig.model_validate(record["config"])
        alone = Training(config, data, seed=record["seed"])
        alone.advance(config.max_epochs)
        assert [p["value"] for p in record["curve"]] == [p.value for p in alone.curve]
        compared += 1
    assert compared > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "kills"), [(PROMOTION, 30), (FREEZE_THAW, 3)], ids=["promotion", "freeze-thaw"]
)
def test_kills_lose_no_paused_trial_and_double_none(
    tmp_path: Path, method: str, kills: int
) -> None:
    """Of driver and worker in turn, each while trials are paused; with one slot."""
    calm = tmp_path / "calm"
    calm.mkdir()
    write(calm, 1, method)
    gatesearch("run", "paused.yaml", cwd=calm)
    wanted = alike(records(calm, "paused"))
    assert len(wanted) == 2 * (9 + 1)
    struck, number = 0, 0
    while struck < kills:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        write(place, 1, method)
        for after in range(2, 40, 3):
            if not strike(place, after, of_worker=struck % 2 == 1):
                break
            struck += 1
            if struck == kills:
                break
        gatesearch("run", "paused.yaml", cwd=place)
        assert alike(records(place, "paused")) == wanted


def strike(place: Path, after: int, *, of_worker: bool) -> bool:
    """Run or resume the job, and kill its worker, if so, and its driver after so many pauses.

    Returns False if the job was faster and has come to its end.
    """
    folder = place / "runs" / "paused"

    def told(kind: str, more_than: int) -> bool:
        return process.poll() is not None or len(journal(folder, kind)) > more_than

    with running("run", "paused.yaml", cwd=place) as process:
        wait_until(lambda: told("pause", after - 1), "trials are paused")
        if of_worker and process.poll() is None and (training := workers(process)):
            os.kill(training[0], signal.SIGKILL)
            seen = len(journal(folder, "report"))
            wait_until(lambda: told("report", seen), "another worker goes on")
        return process.poll() is None

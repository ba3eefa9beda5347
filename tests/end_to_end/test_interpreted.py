"""A job whose worker trains cohorts on generated kernels, interpreted: a real Ray, no card."""

from pathlib import Path

import pytest
from installed import gatesearch, records
from interpreted import needs_interpreter

pytestmark = needs_interpreter

JOB = """\
name: packed
task: {name: adding, length: 4, examples: 60}
arms: [{name: gru, cell: gru, gates: [reset-before]}, lstm]
space: {depth: 1, hidden_size: 4, learning_rate: {low: 1e-3, high: 1e-2, log: true}, dropout: 0}
training: {max_epochs: 2, batch_size: 20}
search: {trials: 2, sampler: random, pruner: none, control_fraction: 0}
confirm: {finalists: 1, seeds: 2}
"""


def test_cohorts_of_two_shapes_in_one_worker_find_what_the_cpu_finds(tmp_path: Path) -> None:
    found = {}
    for resources, interpret in (("{gpus_per_trial: auto}", "1"), ("{gpus_per_trial: 0}", "0")):
        folder = tmp_path / interpret
        folder.mkdir()
        (folder / "packed.yaml").write_text(f"{JOB}resources: {resources}\n")
        gatesearch("run", "packed.yaml", cwd=folder, env={"TRITON_INTERPRET": interpret})
        found[interpret] = records(folder, "packed")
    assert len(found["1"]) == len(found["0"]) == 8
    for ours, other in zip(found["1"], found["0"], strict=True):
        assert ours["config"] == other["config"]
        assert ours["value"] == pytest.approx(other["value"], rel=1e-4)
        assert ours["state"] == "complete"

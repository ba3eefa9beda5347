"""Claims on a real local Ray: jobs are run once, gone on with, and summed up."""

import json
from pathlib import Path

import pytest
from installed import gatesearch

JOB = """\
name: claims-{job}
task: {{name: adding, length: 6, examples: 200}}
arms: [rnn, lstm, gru]
space: {{depth: 1, hidden_size: 8, dropout: 0.0, learning_rate: 0.01}}
training: {{max_epochs: 2}}
search: {{trials: 1, pruner: none}}
confirm: {{design: splits, finalists: 1, replicates: 2}}
"""


@pytest.mark.slow
def test_claims_run_their_jobs_once_and_tell_each_task(tmp_path: Path) -> None:
    jobs = tmp_path / "small"
    jobs.mkdir()
    for job in ("adding-50", "adding-200"):
        (jobs / f"{job}.yaml").write_text(JOB.format(job=job))
    arguments = ("claims", "--only", "rnn-fails", "--jobs", jobs)
    gatesearch("run", jobs / "adding-50.yaml", cwd=tmp_path)
    first = gatesearch(*arguments, cwd=tmp_path)
    assert "job 2 of 2: claims-adding-200" in first and "job 1 of 2" not in first
    (claim,) = json.loads(gatesearch(*arguments, "--json", cwd=tmp_path))  # nothing runs again
    assert [finding["task"] for finding in claim["findings"]] == ["adding, 6 steps"] * 2
    for finding in claim["findings"]:
        assert finding["answer"] in ("holds", "does not hold", "cannot tell")
        assert finding["figures"]["means"].keys() == {"rnn", "lstm", "gru"}
    (jobs / "adding-50.yaml").write_text(JOB.format(job="adding-50").replace("0.01", "0.02"))
    assert "must be the one that is stored here" in gatesearch(*arguments, cwd=tmp_path, code=2)

"""Claims about several jobs together: which go together, what is left out, what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import STRINGS, VOWELS, job_text, made

from search.results.across_jobs import compare_jobs
from search.results.evidence.across import Across
from search.results.read import Results
from spaces.errors import InputError

TWO = "[lstm, gru]"


def job(
    folder: Path, number: int, *, text: str = "", gain: float = 0.03, phase: str = "done"
) -> Results:
    """A finished job of a task of its own, whose gru is better than the arms before it."""
    place = folder / f"job{number}"
    place.mkdir()
    task = f"{{kind: classification, data: data{number}.npz}}"
    text = (text or job_text(TWO, task=task)).replace("name: vowels", f"name: job{number}")
    info = replace(VOWELS, name=f"data{number}", fingerprint=f"{number:064d}")
    found = made(place, text, info, phase=phase, seed=number)

    def scored(replicate: int, arm: str) -> dict[str, float]:
        return {"accuracy": 0.8 + gain * (arm == "gru") + replicate / 1000}

    trials = [
        replace(trial, test=scored(trial.replicate or 0, trial.arm))
        if trial.phase == "confirm"
        else trial
        for trial in found.trials
    ]
    return replace(found, trials=trials)


def jobs(folder: Path, number: int) -> list[Results]:
    return [job(folder, each) for each in range(number)]


def refusal(found: list[Results]) -> str:
    with pytest.raises(InputError) as refused:
        compare_jobs(found)
    assert all(problem.remedy for problem in refused.value.problems)
    return str(refused.value)


def test_jobs_of_six_tasks_claim_something_of_further_tasks(tmp_path: Path) -> None:
    found: Across = compare_jobs(jobs(tmp_path, 6))
    [pair] = found.pairs
    assert (pair.winner, pair.decision) == ("gru", "better")
    assert [task.job for task in found.tasks] == [f"job{number}" for number in range(6)]
    assert [task.name for task in found.tasks] == [f"data{number}" for number in range(6)]
    assert found.left_out == {}
    [caution] = found.cautions
    assert "not of cells" in caution


def test_a_job_named_twice_is_refused(tmp_path: Path) -> None:
    one, other = jobs(tmp_path, 2)
    assert "job0: a job must be named once, not 2 times" in refusal([one, other, one])


def test_a_second_job_of_one_task_is_left_out(tmp_path: Path) -> None:
    """Neither another seed of the split nor another metric makes a task of its own."""
    one, other = jobs(tmp_path, 2)
    task = "{kind: classification, data: data0.npz, seed: 5, metric: loss}"
    again = job(tmp_path, 7, text=job_text(TWO, task=task))
    again = replace(again, job=replace(again.job, base=one.job.base))
    alike = replace(job(tmp_path, 8), info=other.info)  # equal data under another name
    found = compare_jobs([one, other, again, alike])
    assert len(found.tasks) == 2
    assert "Its task is that of job0 (data0)" in found.left_out["job7"]
    assert "Its task is that of job1 (data1)" in found.left_out["job8"]


def test_tasks_of_one_name_are_told_by_their_jobs(tmp_path: Path) -> None:
    one, other = jobs(tmp_path, 2)
    other = replace(other, info=replace(other.info, name="data0"))
    assert [t.name for t in compare_jobs([one, other]).tasks] == ["data0 (job0)", "data0 (job1)"]


def test_jobs_of_different_designs_are_refused(tmp_path: Path) -> None:
    text = job_text(TWO, task="{kind: classification, data: data7.npz}")
    splits = text.replace("seeds: 10}", "design: splits, replicates: 10}")
    message = refusal([*jobs(tmp_path, 2), job(tmp_path, 7, text=splits)])
    assert "seeds in job0 and job1 and splits in job7" in message
    assert "name job0 and job1 alone" in message


def test_arms_of_one_name_and_other_cells_are_refused(tmp_path: Path) -> None:
    task = "{kind: classification, data: data7.npz}"
    other = job_text("[lstm, {name: gru, cell: mgu}]", task=task)
    message = refusal([*jobs(tmp_path, 1), job(tmp_path, 7, text=other)])
    assert "arm gru must have the same cells" in message


def test_jobs_without_a_common_pair_of_arms_are_refused(tmp_path: Path) -> None:
    text = job_text("[rnn, gru]", task="{kind: classification, data: data7.npz}")
    message = refusal([*jobs(tmp_path, 1), job(tmp_path, 7, text=text)])
    assert "data0 has lstm and gru; data7 has rnn and gru" in message


def test_a_job_without_a_verdict_is_left_out_with_its_reason(tmp_path: Path) -> None:
    searching = job(tmp_path, 7, phase="search")
    found = compare_jobs([*jobs(tmp_path, 2), searching])
    assert "the search goes on" in found.left_out["job7"]
    assert any("Unfinished, and provisional: job7" in text for text in found.cautions)
    assert "No verdict" in refusal([job(tmp_path, 9), searching])


def test_what_differs_between_jobs_is_told(tmp_path: Path) -> None:
    task = "{kind: classification, data: data7.npz}"
    text = job_text(task=task, trials=8).replace(
        "seeds: 10}", "seeds: 10, margin: 0.02, confidence: 0.9}"
    )
    text = text.replace("choices: [16, 32, 64]", "choices: [16]")
    found = compare_jobs([*jobs(tmp_path, 1), job(tmp_path, 7, text=text)])
    assert found.confidence == 0.95
    told = " ".join(found.cautions)
    for part in (
        "lstm and gru in job0; rnn, lstm and gru in job7",
        "0.01 of accuracy in job0; 0.02 of accuracy in job7",
        "12 trials in job0; 8 trials in job7",
        "95 % in job0; 90 % in job7",
        "job7 not that of job0",
    ):
        assert part in told


def test_metrics_may_differ_and_are_told(tmp_path: Path) -> None:
    place = tmp_path / "strings"
    place.mkdir()
    text = job_text(TWO, task="{name: symbolic, complexity: 20}")
    strings = made(place, text.replace("name: vowels", "name: strings"), STRINGS)
    found = compare_jobs([*jobs(tmp_path, 1), strings])
    assert [t.verdict.metric for t in found.tasks] == ["accuracy", "bits-per-token"]
    assert any("different metrics: accuracy in job0" in text for text in found.cautions)

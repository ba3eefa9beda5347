"""Claims about the verdict on a job's arms: what it takes of the job, and where it is said."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from made_results import STRINGS, job_text, made
from rich.console import Console

from search.journal.trial import TrialResult
from search.report.files import write_files
from search.results.evidence.pairs import Margin
from search.results.evidence.verdict import Verdict
from search.results.read import Results
from search.results.summarise import compare
from search.results.terminal import comparison, final_table
from search.run import session
from trainables.data.baselines import Baseline

TWO = "[lstm, gru]"


def with_tests(
    results: Results, score: Callable[[TrialResult], float | None], state: str = "diverged"
) -> Results:
    """Return the results with other test values; None is a replicate in that state."""

    def changed(trial: TrialResult) -> TrialResult:
        if trial.phase != "confirm":
            return trial
        value = score(trial)
        if value is None:
            return replace(trial, state=state, test=None)  # type: ignore[arg-type]
        return replace(trial, test={results.info.metric.name: value})

    return replace(results, trials=[changed(trial) for trial in results.trials])


def verdict_of(results: Results) -> Verdict:
    return compare(results).verdict


def test_replicates_of_equal_number_are_pairs(tmp_path: Path) -> None:
    """Each pair differs by 0.02, which only pairing shows: replicates differ by up to 0.9."""

    def score(trial: TrialResult) -> float:
        return (trial.replicate or 0) / 10 + (0.02 if trial.arm == "gru" else 0.0)

    verdict = verdict_of(with_tests(made(tmp_path, job_text(TWO)), score))
    assert (verdict.kind, verdict.winner, verdict.pairs[0].pairs) == ("decided", "gru", 10)
    assert verdict.design == "seeds"
    assert "not of cells" in verdict.sentence


def test_a_diverged_replicate_is_a_loss_and_a_failed_one_is_missing(tmp_path: Path) -> None:
    def score(trial: TrialResult) -> float | None:
        return None if trial.arm == "lstm" and (trial.replicate or 0) < 4 else 0.9

    found = made(tmp_path, job_text(TWO))
    [lost] = verdict_of(with_tests(found, score)).pairs
    assert (lost.pairs, lost.ties, lost.seen_from("lstm").probability) == (10, 6, 0.3)
    [missing] = verdict_of(with_tests(found, score, state="failed")).pairs
    assert (missing.pairs, missing.ties) == (6, 6)


@pytest.mark.parametrize(("wins", "decided"), [(10, True), (6, False)])
def test_an_undecided_job_ends_with_the_command_that_goes_on(
    tmp_path: Path, wins: int, decided: bool
) -> None:
    """It asks for as many replicates as the pair that needs most still needs."""

    def score(trial: TrialResult) -> float:
        won = (trial.replicate or 0) < wins
        return 0.9 if won == (trial.arm == "gru") else 0.5

    found = with_tests(made(tmp_path, job_text(TWO)), score)
    figures, text = compare(found), StringIO()
    session.show(session.Conclusion(figures, None), found.folder, Console(file=text, width=200))
    needed = figures.verdict.pairs[0].still_needed
    assert (needed is None) == decided
    more = f"--replicates {needed.estimate}`" if needed else "--replicates"
    assert (more in text.getvalue()) is not decided


def test_margin_and_confidence_are_those_of_the_job_file(tmp_path: Path) -> None:
    text = job_text(TWO).replace("seeds: 10}", "seeds: 10, margin: 0.05, confidence: 0.9}")
    verdict = verdict_of(made(tmp_path, text))
    assert (verdict.margin, verdict.confidence) == (Margin(0.05), 0.9)
    assert "90 % interval" in verdict.sentence and "more than 0.05" in verdict.sentence


def test_a_loss_has_a_relative_margin_by_default(tmp_path: Path) -> None:
    text = job_text(TWO, task="{name: symbolic, complexity: 20}")
    assert verdict_of(made(tmp_path, text, STRINGS)).margin == Margin(0.02, relative=True)


@pytest.mark.parametrize(
    ("text", "phase", "words"),
    [
        (job_text("[gru]"), "done", "nothing to compare gru with"),
        (job_text(seeds=0), "done", "--replicates 10"),
        (job_text(finalists=0), "done", "trains no finalists again"),
        (job_text(), "search", "the search goes on"),
    ],
)
def test_without_pairs_there_is_no_verdict_but_a_remedy(
    tmp_path: Path, text: str, phase: str, words: str
) -> None:
    verdict = verdict_of(made(tmp_path, text, phase=phase))
    assert (verdict.kind, verdict.best) == ("none", ())
    assert verdict.sentence.startswith("No verdict: ") and words in verdict.sentence


def test_all_at_the_ceiling_is_too_easy(tmp_path: Path) -> None:
    verdict = verdict_of(with_tests(made(tmp_path), lambda trial: 1.0))
    assert verdict.kind == "too-easy"


def printed(renderable: Any) -> str:
    text = StringIO()
    Console(width=10_000, file=text).print(renderable)
    return text.getvalue()


def test_terminal_json_file_and_page_say_the_same_sentence(tmp_path: Path) -> None:
    results = made(tmp_path)
    figures = write_files(results)
    sentence = figures.verdict.sentence
    assert printed(final_table(figures)).startswith(sentence)
    assert printed(comparison(figures)).startswith(sentence)
    stored = json.loads((tmp_path / "verdict.json").read_text())
    assert stored == figures.as_dict()["verdict"] == figures.verdict.as_dict()
    assert stored["sentence"] == sentence
    assert f'<p class="verdict">{sentence}</p>' in (tmp_path / "report.html").read_text()


def test_a_warm_start_that_forbids_a_verdict_leaves_none(tmp_path: Path) -> None:
    text = job_text().replace("seed: 0}", "seed: 0, warm_start: before}")
    figures = compare(made(tmp_path, text))
    assert figures.objections  # the results do not say what the arms inherited
    verdict = figures.verdict
    assert (verdict.kind, verdict.best, verdict.pairs) == ("none", (), ())
    assert verdict.sentence == figures.objections[0]


def test_replicates_of_one_split_are_one_pair(tmp_path: Path) -> None:
    def of_split(trial: TrialResult) -> TrialResult:
        return replace(trial, split=None if trial.replicate is None else trial.replicate // 2)

    found = made(tmp_path, job_text(TWO))
    found = replace(found, trials=[of_split(trial) for trial in found.trials])
    verdict = verdict_of(found)
    assert verdict.pairs[0].pairs == 5
    assert verdict.variance.seed is not None and verdict.variance.arm_split is not None


def test_no_arm_above_what_is_reached_without_a_model_is_nothing_learned(tmp_path: Path) -> None:
    baseline = Baseline("most frequent class", {"accuracy": 0.2}, {"accuracy": 0.3})
    found = replace(made(tmp_path), baselines=(baseline,))
    assert verdict_of(with_tests(found, lambda trial: 0.3)).kind == "nothing-learned"
    assert verdict_of(found).kind != "nothing-learned"
    assert verdict_of(found).as_dict()["baselines"] == [
        {"name": "most frequent class", "value": 0.3}
    ]

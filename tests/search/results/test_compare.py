"""What a comparison says is what the records hold, and it does not say more."""

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from made_results import STRINGS, job_text, made
from rich.console import Console

from search.journal.trial import TrialResult
from search.results.figures import Comparison, Diverged
from search.results.read import Results
from search.results.summarise import compare
from search.results.terminal import comparison, final_table
from trainables.data.baselines import Baseline


def changed(results: Results, change: Any) -> Results:
    """Return the results with every trial passed through `change`; None drops it."""
    trials = [new for trial in results.trials if (new := change(trial)) is not None]
    return replace(results, trials=trials)


def of(results: Results, arm: str, phase: str) -> list[TrialResult]:
    return [each for each in results.trials if each.arm == arm and each.phase == phase]


def printed(renderable: Any) -> str:
    text = StringIO()
    Console(width=160, file=text).print(renderable)
    return text.getvalue()


def sentences(figures: Comparison) -> str:
    return "\n".join([*figures.findings, *figures.cautions, *figures.not_claimed])


def test_best_is_the_best_complete_trial_and_never_an_early_score(tmp_path: Path) -> None:
    def early_star(trial: TrialResult) -> TrialResult:
        star = trial.phase == "search" and trial.state != "complete"
        return replace(trial, value=0.9999) if star else trial

    results = changed(made(tmp_path), early_star)
    for arm in compare(results).arms:
        complete = [each for each in of(results, arm.name, "search") if each.state == "complete"]
        assert arm.best is not None
        assert arm.best.value == max(each.value or 0 for each in complete) < 0.9999


def test_spent_budget_is_the_sum_over_the_arms_trials(tmp_path: Path) -> None:
    results = made(tmp_path)
    for arm in compare(results).arms:
        search = of(results, arm.name, "search")
        assert arm.trials == len(search) == sum(arm.states.values())
        assert arm.epochs == sum(each.epochs for each in search)
        assert arm.worker_seconds == pytest.approx(sum(each.train_seconds for each in search))
        assert arm.controls == sum(each.control for each in search)
        assert arm.states["pruned"] == sum(each.state == "pruned" for each in search)


def test_a_running_trial_is_not_counted_as_ended(tmp_path: Path) -> None:
    def running(trial: TrialResult) -> TrialResult:
        return replace(trial, state="running") if trial.number == 3 else trial

    results = changed(made(tmp_path, trials=5, phase="search"), running)
    assert [arm.trials for arm in compare(results).arms] == [4, 4, 4]


def test_confirmation_describes_the_test_values_of_the_replicates(tmp_path: Path) -> None:
    results = made(tmp_path)
    for arm in compare(results).arms:
        tests = [(each.test or {})["accuracy"] for each in of(results, arm.name, "confirm")]
        leader = arm.leading
        assert leader is not None and leader.test is not None
        assert leader.test.n == len(tests) == 10
        assert leader.test.mean == pytest.approx(statistics.fmean(tests))
        assert leader.test.deviation == pytest.approx(statistics.stdev(tests))
        assert (leader.test.low, leader.test.high) == (min(tests), max(tests))


@pytest.mark.parametrize("info", [None, STRINGS])
def test_the_gap_is_how_much_better_training_data_is_scored(tmp_path: Path, info: Any) -> None:
    task = "{name: symbolic, complexity: 30}" if info else "{name: japanese-vowels}"
    results = made(tmp_path, job_text(task=task), *([info] if info else []))
    name, sign = results.info.metric.name, 1 if results.info.metric.maximize else -1

    def fitted(trial: TrialResult) -> TrialResult:
        if trial.test is None or trial.replicate is None:
            return trial
        return replace(
            trial, training={name: trial.test[name] + sign * 0.01 * (1 + trial.replicate)}
        )

    for arm in compare(changed(results, fitted)).arms:
        assert arm.leading is not None and arm.leading.gap is not None
        assert arm.leading.gap.mean == pytest.approx(0.055)
        assert (arm.leading.gap.low, arm.leading.gap.high) == pytest.approx((0.01, 0.1))
    assert {arm.leading and arm.leading.gap for arm in compare(results).arms} == {None}


def test_diverged_trainings_are_counted_among_controls_and_among_replicates(
    tmp_path: Path,
) -> None:
    def diverges(trial: TrialResult) -> TrialResult:
        gone = trial.arm == "gru" and (
            (trial.control and trial.number == 4) or trial.replicate in (2, 7)
        )
        return replace(trial, state="diverged", test=None) if gone else trial

    figures = compare(changed(made(tmp_path), diverges))
    assert figures.arm("gru").diverged == Diverged(1, 3, 2, 10)
    assert figures.arm("lstm").diverged == Diverged(0, 3, 0, 10)
    assert "1 of 3" in printed(comparison(figures))


def test_one_replicate_has_a_mean_and_no_deviation(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, job_text(seeds=1)))
    spreads = [arm.leading.test for arm in figures.arms if arm.leading]
    assert [each.deviation for each in spreads if each] == [None, None, None]
    assert all(each.difference.deviation is None for each in figures.differences)
    assert "None" not in sentences(figures) + printed(comparison(figures))


def test_differences_are_taken_over_the_replicates_that_both_arms_finished(tmp_path: Path) -> None:
    def uneven(trial: TrialResult) -> TrialResult | None:
        if trial.phase != "confirm" or trial.replicate is None:
            return trial
        gone = {"rnn": (0, 1), "lstm": (9,), "gru": ()}[trial.arm]
        return None if trial.replicate in gone else trial

    results = changed(made(tmp_path), uneven)
    found = {(each.first, each.second): each for each in compare(results).differences}
    assert found["rnn", "lstm"].replicates == tuple(range(2, 9))
    assert found["rnn", "gru"].replicates == tuple(range(2, 10))
    ours, theirs = (
        {each.replicate: (each.test or {})["accuracy"] for each in of(results, arm, "confirm")}
        for arm in ("rnn", "lstm")
    )
    pairs = [ours[number] - theirs[number] for number in range(2, 9)]
    assert found["rnn", "lstm"].difference.mean == pytest.approx(statistics.fmean(pairs))
    assert found["rnn", "lstm"].difference.deviation == pytest.approx(statistics.stdev(pairs))


@pytest.mark.parametrize("info, sign", [(None, 1), (STRINGS, -1)])
def test_a_difference_favours_the_better_arm_in_either_direction(
    tmp_path: Path, info: Any, sign: int
) -> None:
    task = "{name: symbolic, complexity: 30}" if info else "{name: japanese-vowels}"
    results = made(tmp_path, job_text(task=task), *([info] if info else []))
    for each in compare(results).differences:
        expected = each.first if sign * each.difference.mean > 0 else each.second
        assert each.favours == expected


def test_equal_means_favour_neither(tmp_path: Path) -> None:
    def same(trial: TrialResult) -> TrialResult:
        return replace(trial, test={"accuracy": 0.5}) if trial.phase == "confirm" else trial

    figures = compare(changed(made(tmp_path), same))
    assert {each.favours for each in figures.differences} == {None}


def test_the_leading_finalist_is_chosen_without_test_data(tmp_path: Path) -> None:
    results = made(tmp_path, job_text(trials=20, finalists=3))

    def upside_down(trial: TrialResult) -> TrialResult:
        if trial.test is None:
            return trial
        return replace(trial, test={"accuracy": 1 - trial.test["accuracy"]})

    before, after = compare(results), compare(changed(results, upside_down))
    for arm, other in zip(before.arms, after.arms, strict=True):
        assert arm.leading is not None and other.leading is not None
        assert arm.leading.number == other.leading.number
        validation = {each.number: each.validation for each in arm.finalists}
        best = max(spread.mean for spread in validation.values() if spread)
        assert arm.leading.validation is not None and arm.leading.validation.mean == best


def test_a_lost_replicate_is_left_out_and_announced(tmp_path: Path) -> None:
    def lost(trial: TrialResult) -> TrialResult:
        if trial.phase == "confirm" and trial.arm == "gru" and trial.replicate == 4:
            return replace(trial, state="diverged", test=None)
        return trial

    figures = compare(changed(made(tmp_path), lost))
    leader = figures.arm("gru").leading
    assert leader is not None and leader.test is not None
    assert (leader.test.n, leader.seeds, leader.lost) == (9, 10, 1)
    assert any("1 of 10 replicates diverged or failed" in each for each in figures.cautions)
    assert "9 of 10" in printed(final_table(figures))


def test_an_arm_without_a_complete_trial_takes_no_part(tmp_path: Path) -> None:
    def fails(trial: TrialResult) -> TrialResult | None:
        if trial.arm != "rnn":
            return trial
        failed = replace(trial, state="failed", value=None, curve=[], reason="out of memory")
        return failed if trial.phase == "search" else None

    figures = compare(changed(made(tmp_path), fails))
    assert figures.arm("rnn").best is None and figures.arm("rnn").finalists == ()
    assert [(each.first, each.second) for each in figures.differences] == [("lstm", "gru")]
    assert "rnn has no complete trial" in sentences(figures)
    assert "12 failed of 12 trials" in sentences(figures)


def test_a_skipped_confirmation_leaves_nothing_confirmed(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, job_text(seeds=0)))
    assert figures.differences == ()
    assert all(arm.leading is None for arm in figures.arms)
    assert "no test data has been used and nothing here is confirmed" in sentences(figures)


@pytest.mark.parametrize("phase, word", [("search", "searching"), ("confirm", "confirming")])
def test_an_unfinished_job_says_so(tmp_path: Path, phase: str, word: str) -> None:
    figures = compare(made(tmp_path, trials=5 if phase == "search" else None, phase=phase))
    assert figures.progress == word
    assert "The job is unfinished" in figures.cautions[0]


def test_a_job_without_any_trial_can_be_compared(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, trials=0, phase="search"))
    assert [arm.trials for arm in figures.arms] == [0, 0, 0]
    assert "nothing to say" in sentences(figures)
    printed(comparison(figures))


def test_a_search_that_ended_early_did_not_give_equal_chances(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, trials=9))
    assert any("before its budget of 12 trials" in each for each in figures.cautions)


@pytest.mark.parametrize("factor, mentioned", [(1.0, False), (4.0, True)])
def test_equal_trials_at_unequal_cost_are_mentioned(
    tmp_path: Path, factor: float, mentioned: bool
) -> None:
    def costs(trial: TrialResult) -> TrialResult:
        slow = factor if trial.arm == "gru" else 1.0
        return replace(trial, epochs=10, train_seconds=slow)

    figures = compare(changed(made(tmp_path), costs))
    assert (
        any("12.0 s and gru 120 epochs in 48.0 s" in each for each in figures.cautions) == mentioned
    )


def test_an_extended_job_shows_the_budget_it_ended_with(tmp_path: Path) -> None:
    assert compare(made(tmp_path, trials=30)).budget.amount == 30


def test_a_pooled_arm_is_no_evidence_between_cells(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, job_text(arms="[{name: any, cells: [rnn, lstm, gru]}]")))
    assert figures.arm("any").pooled and figures.arm("any").cells == ("rnn", "lstm", "gru")
    assert any("no evidence for one of its cells" in each for each in figures.cautions)


def test_it_says_what_is_not_claimed(tmp_path: Path) -> None:
    figures = compare(made(tmp_path, job_text() + "resources: {max_concurrent: 2}\n"))
    assert any("best of many tries" in each for each in figures.not_claimed)
    assert "significant" not in sentences(figures)
    assert not any("share" in each or "GPUs" in each for each in figures.not_claimed)


def test_times_of_cohorts_are_told_as_shares(tmp_path: Path) -> None:
    figures = compare(made(tmp_path))
    assert figures.shared_workers
    assert any("its share of the worker's time" in each for each in figures.not_claimed)


@pytest.mark.parametrize("mixed", [False, True])
def test_times_of_workers_that_trained_several_trials_are_told_as_shares(
    tmp_path: Path, mixed: bool
) -> None:
    resources = f"{{gpus_per_trial: auto, cpu_trials: {str(mixed).lower()}}}"
    figures = compare(made(tmp_path, job_text() + f"resources: {resources}\n"))
    assert (figures.shared_workers, figures.mixed_devices) == (True, mixed)
    assert any("its share of the worker's time" in each for each in figures.not_claimed)
    assert any("not comparable" in each for each in figures.not_claimed) is mixed


def test_every_form_is_strict_json(tmp_path: Path) -> None:
    one_seed = made(tmp_path, job_text(seeds=1))
    for results in (made(tmp_path), made(tmp_path, trials=0, phase="search"), one_seed):
        plain = compare(results).as_dict()
        assert json.loads(json.dumps(plain, allow_nan=False))["job"] == "vowels"


def test_the_tables_show_the_comparisons_figures(tmp_path: Path) -> None:
    figures = compare(made(tmp_path))
    text = printed(comparison(figures))
    for arm in figures.arms:
        assert arm.best is not None and arm.leading is not None and arm.leading.test is not None
        assert f"{arm.best.value:.4f}" in text
        assert f"{arm.best.parameters:,}" in text
        assert f"{arm.leading.test.mean:.4f} ± {arm.leading.test.deviation:.4f}" in text


BASELINE = Baseline("majority", {"accuracy": 0.1234, "loss": 2.2}, {"accuracy": 0.2345})


def test_baselines_stand_below_the_arms_with_their_values(tmp_path: Path) -> None:
    results = replace(made(tmp_path), baselines=(BASELINE,))
    figures = compare(results)
    assert figures.as_dict()["baselines"] == [{"name": "majority", "value": 0.1234, "test": 0.2345}]
    for drawn in (final_table(figures), comparison(figures)):
        (line,) = (each for each in printed(drawn).splitlines() if "majority" in each)
        assert "0.1234" in line and "0.2345" in line
    assert results.test_baselines == {"majority": 0.2345}


def test_a_baseline_without_the_jobs_metric_is_left_out(tmp_path: Path) -> None:
    results = replace(made(tmp_path, info=STRINGS), baselines=(BASELINE,))
    assert (compare(results).baselines, results.test_baselines) == ((), {})


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    results = made(tmp_path)
    hostile = replace(results, info=replace(results.info, name="[red]data[/red][/]"))
    assert "[red]data[/red][/]" in printed(comparison(compare(hostile)))


def test_comparing_loads_no_heavy_library() -> None:
    heavy = ["torch", "ray", "optuna", "mlflow", "pandas", "plotly"]
    program = (
        f"import sys, search.results.summarise; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(("ratio", "told"), [(1.0, False), (1.09, False), (1.1, True), (3.0, True)])
@pytest.mark.parametrize(
    ("field", "words"),
    [("epochs", "trained with it differs"), ("parameters", "differ in their mean size")],
)
def test_uneven_sizes_and_epochs_are_told_from_a_tenth_on(
    tmp_path: Path, field: str, words: str, ratio: float, told: bool
) -> None:
    def evened(trial: TrialResult) -> TrialResult:
        even = {"epochs": 1000, "parameters": 1000, "train_seconds": 1.0}
        if trial.arm == "gru":
            even[field] = round(1000 * ratio)
        return replace(trial, **even)

    figures = compare(changed(made(tmp_path, job_text(arms="[lstm, gru]")), evened))
    assert any(words in each for each in figures.cautions) is told
    if told and field == "parameters":
        larger = f"lstm 1,000 and gru {round(1000 * ratio):,} parameters"
        assert sum(larger in each for each in figures.cautions) == 2  # the leaders' sizes too

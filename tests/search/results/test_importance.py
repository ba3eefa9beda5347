"""Importance follows what the values follow, and where it cannot be known, a reason says so."""

from dataclasses import replace

import pytest
from made_results import job_text, made

from search.journal.trial import TrialResult
from search.results.importance import MIN_TRIALS, importance


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> list[TrialResult]:
    """The complete ones of 60 search trials, whose values follow the learning rate most."""
    text = job_text(arms="[lstm]", trials=60)
    return made(tmp_path_factory.mktemp("job"), text).ranked("lstm")


def test_importance_finds_what_the_values_follow(complete: list[TrialResult]) -> None:
    found = importance(complete)
    assert found.shares[0].name == "learning_rate"
    assert all(0 <= share.low <= share.mean <= share.high <= 1 for share in found.shares)
    assert sum(share.mean for share in found.shares) == pytest.approx(1)
    assert importance(complete) == found


def test_importance_is_of_complete_trials_only(complete: list[TrialResult]) -> None:
    pruned = [replace(trial, number=99, state="pruned", value=0.0) for trial in complete]
    assert importance([*pruned, *complete]) == importance(complete)


def test_too_few_trials_give_a_reason_and_no_numbers(complete: list[TrialResult]) -> None:
    few = importance(complete[: MIN_TRIALS - 1])
    assert few.shares == () and f"{MIN_TRIALS} are needed" in (few.reason or "")


def test_equal_values_and_equal_configurations_have_no_importance(
    complete: list[TrialResult],
) -> None:
    flat = importance([replace(trial, value=0.5) for trial in complete])
    assert flat.shares == () and "same value" in (flat.reason or "")
    same = importance([replace(trial, config=complete[0].config) for trial in complete])
    assert same.shares == () and "same configuration" in (same.reason or "")


def test_importance_takes_settings_of_any_kind(complete: list[TrialResult]) -> None:
    mixed = []
    for rank, trial in enumerate(complete):
        odd = {"gradient_clip": [None, 1.0][rank % 2], "residual": rank > 5}
        mixed.append(replace(trial, config=trial.config.model_copy(update=odd)))
    assert {"gradient_clip", "residual"} <= {share.name for share in importance(mixed).shares}

"""How many control trials a search has where its job file does not say."""

import pytest

from search.job.spec import JobSpec
from search.study.suggestions import controls_before

HEAD = "name: a\ntask: {name: adding}\narms: [lstm]\n"


@pytest.mark.parametrize(
    ("search", "controls", "trials"),
    [
        ("{}", 0, 20),
        ("{trials: 47}", 0, 47),
        ("{trials: 48}", 12, 48),
        ("{trials: 1000}", 12, 1000),
        ("{trials: 8, control_fraction: 0.25}", 2, 8),
        ("{trials: 100, control_fraction: 0}", 0, 100),
        ("{epochs: 5000}", 0, 300),
        ("{worker_seconds: 600}", 0, 300),
    ],
)
def test_a_search_has_the_controls_that_its_figures_take_or_none(
    search: str, controls: int, trials: int
) -> None:
    share = JobSpec.loads(f"{HEAD}search: {search}\n").search.control_fraction
    assert controls_before(trials, share) == controls


def test_a_job_of_before_keeps_its_controls() -> None:
    job = JobSpec.loads(HEAD)
    begun = job.dump()
    begun["search"]["control_fraction"] = 0.25
    assert job.with_defaults_of(begun).search.control_fraction == 0.25
    asked = JobSpec.loads(f"{HEAD}search: {{control_fraction: 0.5}}\n")
    assert asked.with_defaults_of(begun).search.control_fraction == 0.5

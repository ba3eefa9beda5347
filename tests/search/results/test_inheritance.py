"""Which warm starts allow no verdict."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_results import job_text, made

from search.job.spec import JobSpec
from search.journal.warm_start import WarmStart
from search.results.inheritance import objections
from search.results.read import Results
from search.results.summarise import compare


def started(folder: Path, start: WarmStart | None) -> Results:
    results = made(folder, job_text(arms="[lstm, gru]"))
    dump = results.job.dump()
    pruner = {"kind": "successive-halving"}
    dump["search"] |= {"warm_start": "prior", "sampler": "tpe", "pruner": pruner}
    return replace(results, job=JobSpec.from_dump(dump, folder), warm_start=start)


@pytest.mark.parametrize(
    ("start", "reasons"),
    [
        (WarmStart("prior", {"lstm": 40, "gru": 40}, False), []),
        (WarmStart("prior", {"lstm": 40, "gru": 37}, False), []),
        (WarmStart("prior", {"lstm": 11, "gru": 10}, False), ["unequal numbers of trials"]),
        (WarmStart("prior", {"lstm": 40, "gru": 40}, True), ["may have trained on"]),
        (WarmStart("prior", {"lstm": 40, "gru": 4}, True), ["unequal", "may have trained on"]),
        (None, ["did not record"]),
    ],
)
def test_unequal_inheritance_and_test_data_that_was_seen_allow_no_verdict(
    tmp_path: Path, start: WarmStart | None, reasons: list[str]
) -> None:
    results = started(tmp_path, start)
    found = objections(results)
    assert len(found) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, found, strict=True))
    figures = compare(results)
    assert figures.objections == found
    assert set(found) < set(figures.cautions)


def test_a_cold_start_has_nothing_against_it(tmp_path: Path) -> None:
    results = made(tmp_path)
    assert objections(results) == ()
    assert compare(results).warm_start is None

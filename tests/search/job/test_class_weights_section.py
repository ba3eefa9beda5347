"""Weights of classes in a job file: their forms, and what is refused where classes are unknown."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from refusals import refused

from search.job.spec import JobSpec, json_schema
from search.run import session

JOB = """\
name: moods
task: {kind: classification, data: {file: own.csv, id: who, target: mood}}
arms: [gru]
"""
SCHEMA = jsonschema.Draft202012Validator(json_schema())


def job(folder: Path, rest: str) -> Path:
    lines = ["who,x,mood"]
    lines += [f"w{who},{who}.5,{('glad', 'sad')[who % 2]}" for who in range(20)]
    (folder / "own.csv").write_text("\n".join(lines) + "\n")
    (folder / "job.yaml").write_text(JOB + rest)
    return folder / "job.yaml"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("balanced", "balanced"),
        ("null", None),
        ("{glad: 2, sad: 0.5}", {"glad": 2.0, "sad": 0.5}),
        ("{sad: 3}", {"sad": 3.0}),
        ("[2, 1]", [2.0, 1.0]),
    ],
)
def test_each_form_is_taken_and_dumped_as_it_was_written(
    written: str, kept: Any, tmp_path: Path
) -> None:
    spec, _ = session.load(job(tmp_path, f"training: {{class_weights: {written}}}\n"))
    dump = spec.dump()
    assert dump["training"]["class_weights"] == kept
    SCHEMA.validate(dump)
    assert JobSpec.from_dump(dump, tmp_path).dump() == dump


def test_a_space_may_search_them(tmp_path: Path) -> None:
    text = "space: {class_weights: {choices: [balanced, {glad: 2}, [1, 2], null]}}\n"
    spec, _ = session.load(job(tmp_path, text))
    chosen = spec.dump()["space"]["class_weights"]
    assert chosen == {"choices": ["balanced", {"glad": 2.0}, [1.0, 2.0], None]}
    SCHEMA.validate(spec.dump())


@pytest.mark.parametrize(
    ("rest", "parts"),
    [
        (
            "training: {class_weights: {gald: 2}}",
            ["job.yaml:4: training.class_weights", "glad and sad; gald is none (did you mean glad"],
        ),
        ("training: {class_weights: [1, 2, 3]}", ["a number for each of the 2 classes, not 3"]),
        (
            "space: {class_weights: {choices: [null, {up: 2}]}}",
            ["job.yaml:4: space.class_weights", "up is none"],
        ),
        ("training: {class_weights: {glad: 0}}", ["must be balanced, a number above 0 for each"]),
        ("training: {class_weights: {glad: .inf}}", ["must be balanced, a number above 0 for"]),
        ("training: {class_weights: {}}", ["must be balanced, a number above 0 for each class"]),
        ("training: {class_weights: heavy}", ["must be balanced, a number above 0 for each class"]),
        ("training: {class_weights: [1, true]}", ["must be balanced, a number above 0 for each"]),
    ],
)
def test_weights_that_fit_no_class_are_refused(rest: str, parts: list[str], tmp_path: Path) -> None:
    refused(lambda: session.load(job(tmp_path, rest + "\n")), *parts, "remedy")

"""Job files that are accepted: defaults, short forms, what a dump holds, and the JSON Schema."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import optuna
import pytest
import yaml
from drawn_spaces import jobs
from hypothesis import example, given

from search.job.samplers import SAMPLERS
from search.job.sections import JobFile, TrainingSection
from search.job.spec import JobSpec, json_schema
from search.job.yaml_text import write
from spaces.arms import Arm
from spaces.domains import Choices, Domain, Fixed, Range, values
from spaces.errors import InputError
from spaces.fields import Section
from spaces.hyperparameters import FIXED_BY_TRAINING, HYPERPARAMETERS
from spaces.inputs import Inputs
from spaces.tasks import TASKS, TaskInfo

SHIPPED = sorted((Path(__file__).parents[3] / "deploy" / "jobs").rglob("*.yaml"))
SMALLEST = "name: a\ntask: {name: japanese-vowels}\narms: [lstm]\n"
SCHEMA = jsonschema.Draft202012Validator(json_schema())


def loads(text: str) -> JobSpec:
    return JobSpec.loads(text, "job.yaml")


def info_for(job: JobSpec) -> TaskInfo:
    return TaskInfo(job.task.label, job.task.of_kind, 12, 9, 29, job.task.chosen_metric)


def test_name_task_and_arms_are_enough() -> None:
    job = loads(SMALLEST)
    assert job.name == "a"
    assert job.task.label == "japanese-vowels"
    (arm,) = job.arms
    assert isinstance(arm, Arm)
    assert arm.space["depth"] == Range(1, 3, integer=True)
    assert arm.space["hidden_size"] == Choices((16, 32, 64))
    assert arm.space["learning_rate"] == Range(1e-4, 3e-2, log=True)
    assert arm.space["batch_size"] == Fixed(32)
    assert job.training.max_epochs == arm.max_epochs == 27
    assert (job.search.trials, job.search.worker_seconds, job.search.epochs) == (20, None, None)
    assert (job.search.sampler, job.search.pruner.kind) == ("freeze-thaw", "slices")
    assert job.resources.gpus_per_trial == 0
    assert job.tracking.uri is None
    assert job.storage.checkpoints is None
    assert job.warnings == ()


@pytest.mark.parametrize(
    "given",
    [
        "{pruner: none}",
        "{pruner: {kind: successive-halving, mode: promotion}}",
        "{objectives: [value, parameters]}",
        "{warm_start: before}",
        "{worker_seconds: 60}",
    ],
)
def test_a_search_for_which_freeze_thaw_is_not_made_has_tpe_by_default(
    given: str,
) -> None:
    assert loads(f"{SMALLEST}search: {given}\n").search.sampler == "tpe"


def test_a_search_for_seconds_pauses_trials_early_by_default() -> None:
    search = loads(f"{SMALLEST}search: {{worker_seconds: 60}}\n").search
    assert search.pruner.model_dump() == {
        "kind": "successive-halving",
        "mode": "promotion",
        "min_epochs": 2,
        "reduction": 4,
    }
    asked = loads(f"{SMALLEST}search: {{worker_seconds: 60, sampler: freeze-thaw}}\n").search
    assert asked.pruner.kind == "slices"


def test_a_job_that_was_begun_with_the_defaults_of_before_goes_on_with_them() -> None:
    before = loads(f"{SMALLEST}search: {{sampler: tpe, pruner: successive-halving}}\n").dump()
    today = loads(SMALLEST).with_defaults_of(before).search
    assert (today.sampler, today.pruner.kind) == ("tpe", "successive-halving")
    asked = loads(f"{SMALLEST}search: {{sampler: freeze-thaw}}\n").with_defaults_of(before)
    assert asked.search.sampler == "freeze-thaw"


def test_the_job_file_of_the_design_is_accepted() -> None:
    job = loads(
        """
name: vowels
task: {name: japanese-vowels}
arms: [rnn, lstm, gru, {name: gated, cell: lstm, gates: [standard], space: {depth: 2}},
       {name: any, cells: [rnn, lstm, gru]}]
space:
  depth: {low: 1, high: 3}
  hidden_size: {choices: [16, 32, 64]}
  learning_rate: {low: 1e-4, high: 3.0e-2, log: true}
  dropout: {low: 0.0, high: 0.5}
training: {batch_size: 32, max_epochs: 27, optimizer: adam, gradient_clip: null}
search:
  trials: 12
  sampler: tpe
  pruner: {kind: successive-halving, min_epochs: 1, reduction: 3}
  control_fraction: 0.25
  seed: 0
confirm: {finalists: 1, seeds: 10}
resources: {cpus_per_trial: 1, gpus_per_trial: 0.25, max_concurrent: null}
tracking: {uri: "https://mlflow.example.org:5000/base"}
storage: {study: "postgresql://user@host:5432/db?sslmode=require", checkpoints: "s3://bucket/a/b"}
"""
    )
    assert [arm.name for arm in job.arms] == ["rnn", "lstm", "gru", "gated", "any"]
    assert job.arms[3].space["depth"] == Fixed(2)
    assert job.arms[4].pooled
    assert job.arms[0].space["gradient_clip"] == Fixed(None)


@pytest.mark.parametrize(
    ("written", "design", "replicates"),
    [
        ("{}", "seeds", 10),
        ("{seeds: 3}", "seeds", 3),
        ("{replicates: 4}", "seeds", 4),
    ],
)
def test_seeds_are_short_for_replicates_of_the_design_seeds(
    written: str, design: str, replicates: int
) -> None:
    job = loads(SMALLEST + f"confirm: {written}\n")
    assert (job.confirm.design, job.confirm.most) == (design, replicates)
    long = loads(SMALLEST + f"confirm: {{design: {design}, replicates: {replicates}}}\n")
    assert job.dump() == long.dump() == JobSpec.from_dump(job.dump(), job.base).dump()
    assert "seeds" not in job.dump()["confirm"]
    assert SCHEMA.is_valid(job.dump())
    before = {"finalists": 1, "seeds": replicates}  # as versions before 1.1 dumped it
    assert JobSpec.from_dump(job.dump() | {"confirm": before}, job.base).dump() == job.dump()


@pytest.mark.parametrize(
    ("written", "finalists"),
    [("{}", 1), ("{design: splits}", 3), ("{design: splits, finalists: 1}", 1)],
)
def test_an_arm_has_three_finalists_by_default_where_splits_are_dealt(
    written: str, finalists: int
) -> None:
    job = loads(SMALLEST + f"confirm: {written}\n")
    assert job.confirm.finalists == finalists
    assert JobSpec.from_dump(job.dump(), job.base).confirm == job.confirm


@pytest.mark.parametrize("design", ["seeds", "splits", "nested"])
def test_a_number_of_replicates_may_be_left_open_between_arms(design: str) -> None:
    job = loads(
        SMALLEST.replace("arms: [lstm]", "arms: [lstm, gru]")
        + f"confirm: {{design: {design}, replicates: auto, max_replicates: 40, margin: 0.02}}\n"
    )
    assert (job.confirm.auto, job.confirm.least, job.confirm.most) == (True, 0, 40)
    assert JobSpec.from_dump(job.dump(), job.base).dump() == job.dump()
    assert SCHEMA.is_valid(job.dump())


@pytest.mark.parametrize(
    ("written", "warning"),
    [
        ("{design: nested, finalists: 3}", "confirm.finalists changes nothing"),
        ("{design: splits, configurations: 4}", "confirm.configurations changes nothing"),
        ("{replicates: 4, max_replicates: 9}", "confirm.max_replicates changes nothing"),
        ("{design: nested, configurations: 4}", None),
    ],
)
def test_a_key_of_another_design_is_warned_of(written: str, warning: str | None) -> None:
    told = loads(SMALLEST + f"confirm: {written}\n").warnings
    assert [line for line in told if line.startswith("confirm")] == (
        [] if warning is None else [line for line in told if line.startswith(warning)]
    )
    assert warning is None or any(line.startswith(warning) for line in told)


@pytest.mark.parametrize(
    ("written", "gpus", "packed"),
    [("0", 0, False), ("0.5", 0.5, False), ("2", 2, False), ("auto", 1, True)],
)
def test_a_worker_takes_gpus_by_number_or_one_whole_by_the_word_auto(
    written: str, gpus: float, packed: bool
) -> None:
    job = loads(SMALLEST + f"resources: {{gpus_per_trial: {written}}}\n")
    assert (job.resources.gpus, job.resources.packed) == (gpus, packed)
    assert JobSpec.from_dump(job.dump(), job.base).dump() == job.dump()
    assert SCHEMA.is_valid(job.dump())


@pytest.mark.parametrize(
    ("written", "devices"),
    [
        ("{}", "CPU"),
        ("{gpus_per_trial: 0.5}", "GPU"),
        ("{gpus_per_trial: auto}", "GPU"),
        ("{gpus_per_trial: auto, cpu_trials: true}", "GPU or CPU"),
    ],
)
def test_a_job_says_on_which_devices_its_trials_may_train(written: str, devices: str) -> None:
    assert loads(SMALLEST + f"resources: {written}\n").resources.devices == devices


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1.e-4", 1e-4),
        (".5", 0.5),
        ("+5.0e-1", 0.5),
        ("1", 1.0),
    ],
)
def test_numbers_are_read_as_people_write_them(written: str, expected: float) -> None:
    job = loads(SMALLEST + f"space: {{learning_rate: {written}}}\n")
    assert job.arms[0].space["learning_rate"] == Fixed(expected)


@pytest.mark.parametrize("written", ["12", "12.0", "1.2e1", "+12"])
def test_whole_numbers_may_look_like_reals(written: str) -> None:
    assert loads(SMALLEST + f"search: {{trials: {written}}}\n").search.trials == 12


def test_what_a_space_searches_beats_the_default_of_training() -> None:
    job = loads(SMALLEST + "space: {batch_size: {choices: [8, 16]}}\ntraining: {max_epochs: 3}\n")
    assert job.arms[0].space["batch_size"] == Choices((8, 16))
    assert "batch_size" not in job.dump()["training"]


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ("{cell: lstm, gates: coupled}", "lstm-coupled"),
        ("{cell: lstm, gates: [coupled]}", "lstm-coupled"),
        ("lstm-coupled", "lstm-coupled"),
        ("{cell: gru, gates: [reset-after, reset-before]}", "gru"),
    ],
)
def test_an_arm_without_a_name_has_its_cells(arm: str, name: str) -> None:
    job = loads(SMALLEST.replace("[lstm]", f"[lstm, {arm}]"))
    assert [one.name for one in job.arms] == ["lstm", name]


def test_an_arm_may_override_what_training_fixes() -> None:
    text = SMALLEST.replace("[lstm]", "[{cell: lstm, space: {optimizer: sgd}}]")
    job = loads(text + "training: {optimizer: adam}\n")
    assert job.arms[0].space["optimizer"] == Fixed("sgd")


@pytest.mark.parametrize("budget", ["worker_seconds: 600", "epochs: 500"])
def test_another_budget_takes_the_place_of_trials(budget: str) -> None:
    job = loads(SMALLEST + f"search: {{{budget}}}\n")
    assert job.search.trials is None
    assert JobSpec.from_dump(job.dump(), job.base).search == job.search


def test_a_pruner_may_be_named_in_short() -> None:
    assert loads(SMALLEST + "search: {pruner: none}\n").search.pruner.kind == "none"
    assert loads(SMALLEST + "search: {pruner: median}\n").search.pruner.kind == "median"


def test_relative_paths_start_from_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("name: a\ntask: {kind: regression, data: x.npz}\narms: [lstm]\n")
    assert JobSpec.load(file).base == tmp_path.resolve()


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(SMALLEST, encoding="utf-8-sig")
    assert JobSpec.load(file).name == "a"


@given(jobs())
def test_every_drawn_job_is_accepted_and_restored_from_its_dump(written: dict[str, Any]) -> None:
    job = JobSpec.from_dump(written, Path("/base"))
    dump = json.loads(json.dumps(job.dump(), allow_nan=False))
    again = JobSpec.from_dump(dump, Path("/base"))
    assert again == job
    assert again.dump() == dump
    SCHEMA.validate(written)
    SCHEMA.validate(dump)


@given(jobs())
@example({**yaml.safe_load(SMALLEST), "name": "0e0"})  # text to PyYAML, a number to our reader
def test_a_job_means_the_same_as_yaml_as_in_memory(written: dict[str, Any]) -> None:
    text = write(written)
    assert JobSpec.loads(text, base=Path("/base")) == JobSpec.from_dump(written, Path("/base"))


def test_files_that_mean_the_same_have_equal_dumps() -> None:
    spelt = SMALLEST.replace("[lstm]", "[{name: lstm, cell: lstm, gates: standard}]")
    spelt += "search: {trials: 20}\nspace: {depth: {low: 1, high: 3}, heads: 4}\n"
    assert loads(spelt).dump() == loads(SMALLEST).dump()
    assert loads(SMALLEST + "search: {trials: 21}\n").dump() != loads(SMALLEST).dump()


def test_a_checked_job_has_its_arms_bound() -> None:
    job = loads(SMALLEST + "space: {parameters: {target: 20000}}\n")
    assert job.check(info_for(job)).arms[0].sizes == (Inputs(12), 9)


def test_an_unmeetable_budget_is_refused_where_it_stands() -> None:
    text = SMALLEST.replace("[lstm]", "[lstm, {cell: gru, space: {parameters: {target: 9}}}]")
    job = loads(text + "space:\n  depth: 2\n  parameters: {target: 100}\n")
    with pytest.raises(InputError) as caught:
        job.check(info_for(job))
    places = [problem.place for problem in caught.value.problems]
    assert places == ["job.yaml:6: space.parameters", "job.yaml:3: arms[1].space.parameters"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("space: {heads: 2}\n", "no arm has attention"),
        ("search: {control_fraction: 1}\n", "stops nothing"),
        ("training: {precision: tf32}\n", "precision changes nothing: with resources.gpus_per"),
        ("space: {precision: {choices: [float32, bf16]}}\n", "all trials run on CPUs"),
        (
            "training: {precision: tf32}\nresources: {gpus_per_trial: auto, cpu_trials: true}\n",
            "nodes without a GPU run in float32",
        ),
        ("training: {decay_after: 3}\n", "no schedule is step or plateau"),
        ("training: {truncation: 3}\n", "truncation changes nothing: no carry_state is always"),
        ("training: {schedule: cosine, decay_factor: 0.5}\n", "no schedule is step or plateau"),
        ("training: {max_epochs: 9, patience: 8}\n", "patience changes nothing"),
        ("training: {max_epochs: 9, warm_up: 4, patience: 5}\n", "patience changes nothing"),
        (
            "space: {learning_rate: 0.01}\nsearch: {prior: jobs}\n",
            "search.prior changes nothing: no arm searches learning_rate",
        ),
        ("training: {max_epochs: 9}\nspace: {warm_up: {choices: [9, 12]}}\n", "reaches its"),
    ],
)
def test_a_setting_that_nothing_reads_is_warned_of(more: str, text: str) -> None:
    (warning,) = loads(SMALLEST + more).warnings
    assert text in warning


def test_schedules_and_patience_that_act_are_not_warned_of() -> None:
    text = "space: {schedule: {choices: [constant, step]}, patience: {choices: [null, 5]}}\n"
    text += "training: {max_epochs: 9, warm_up: 2, decay_after: 2, decay_factor: 0.5}\n"
    assert loads(SMALLEST + text).warnings == ()
    assert loads(SMALLEST + "training: {max_epochs: 9, patience: 7}\n").warnings == ()
    assert loads(SMALLEST + "search: {prior: jobs}\n").warnings == ()


def test_a_precision_without_a_recurrent_cell_is_warned_of() -> None:
    text = SMALLEST.replace("[lstm]", "[transformer]") + "training: {precision: bf16}\n"
    assert loads(text).warnings == ("training.precision changes nothing: no arm has recurrence",)


@pytest.mark.parametrize("resources", ["gpus_per_trial: 0.5", "gpus_per_trial: auto"])
def test_precision_reaches_every_recurrent_trial_on_a_gpu(resources: str) -> None:
    job = loads(SMALLEST + f"training: {{precision: tf32}}\nresources: {{{resources}}}\n")
    assert job.warnings == ()

    def ask(_: str, domain: Domain) -> Any:
        return domain.low if isinstance(domain, Range) else values(domain)[0]

    assert job.arms[0].configure(ask).precision == "tf32"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_job_comes_back_from_its_journal_as_it_was(path: Path) -> None:
    job = JobSpec.load(path)
    again = JobSpec.recorded(job.dump(), job.base)
    assert again.dump() == job.dump()
    assert [arm.space for arm in again.arms] == [arm.space for arm in job.arms]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_job_files_are_valid_without_warnings(path: Path) -> None:
    job = JobSpec.load(path)
    assert job.check(info_for(job)).name == job.name
    assert job.warnings == ()
    SCHEMA.validate(yaml.safe_load(path.read_text()))


def test_the_quickstart_and_its_companions_are_shipped() -> None:
    names = {path.name for path in SHIPPED}
    assert {"quickstart.yaml", "best-config.yaml", "own-data.yaml", "symbolic.yaml"} <= names
    assert any(arm.pooled for arm in JobSpec.load(SHIPPED[0]).arms), "best-config is pooled"


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"name": "A"},
        {"task": "adding"},
        {"task": {"name": "addin"}},
        {"task": {"kind": "classification"}},
        {"arms": []},
        {"arms": "lstm"},
        {"arms": ["ltsm"]},
        {"arms": [{"name": "x"}]},
        {"arms": [{"name": "x", "cell": "lstm", "cells": ["gru"]}]},
        {"space": {"depth": 0}},
        {"space": {"depth": {"low": 1}}},
        {"space": {"depth": {"low": 1, "high": 2, "choices": [1]}}},
        {"space": {"depth": "2"}},
        {"space": {"dropout": 1}},
        {"space": {"hidden_size": 8, "parameters": {"target": 100}}},
        {"space": {"residual": {"low": 0, "high": 1}}},
        {"training": {"optimizer": "Adam"}},
        {"training": {"epochs": 4}},
        {"search": {"trials": 1, "epochs": 100}},
        {"search": {"pruner": {"kind": "asha"}}},
        {"search": {"pruner": {"kind": "median", "reduction": 3}}},
        {"search": {"control_fraction": 1.5}},
        {"tracking": {"uri": "file:///tmp"}},
        {"storage": {"study": "mysql://host/db"}},
        {"resources": {"gpus_per_trial": -1}},
        {"resources": {"gpus_per_trial": "all"}},
        {"extra": 1},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_the_loader_refuses(bad: dict[str, Any]) -> None:
    good = {"name": "a", "task": {"name": "adding"}, "arms": ["lstm"]}
    written = {**good, **bad} if bad else {}
    assert not SCHEMA.is_valid(written)
    with pytest.raises(InputError):
        JobSpec.from_dump(written, Path("/base"))


def test_every_key_has_a_description() -> None:
    def missing(schema: Any) -> list[str]:
        properties = schema.get("properties", {})
        return [key for key, value in properties.items() if "description" not in str(value)]

    document = json_schema()
    sections = {"job": document, **document["$defs"]}
    bare = {name: missing(section) for name, section in sections.items() if missing(section)}
    assert not bare


def test_every_row_of_training_is_a_key_of_training_and_the_other_way_round() -> None:
    training = {row.name for row in HYPERPARAMETERS.values() if row.training}
    assert TrainingSection.model_fields.keys() == {"seed", *training}
    assert training == {"max_epochs", *FIXED_BY_TRAINING}


def test_the_schema_is_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(json.dumps(json_schema())))


def test_samplers_are_those_of_optuna() -> None:
    """But for ours, which has no class there."""
    assert [name for name, row in SAMPLERS.items() if not row.optuna] == ["freeze-thaw"]
    for row in SAMPLERS.values():
        if row.optuna:
            assert issubclass(getattr(optuna.samplers, row.optuna), optuna.samplers.BaseSampler)


def test_every_built_in_task_is_accepted() -> None:
    for name, task in TASKS.items():
        needed = {"complexity": 10} if name == "symbolic" else {}
        spec = JobFile.model_validate(
            {"name": "a", "task": {"name": name, **needed}, "arms": ["lstm"]}
        ).task
        assert isinstance(spec, task)
        assert spec.label == name


def test_sections_that_share_a_key_have_different_forms() -> None:
    forms = [section.form for section in set(_all(Section)) if section.form]
    assert all(form != other for form, other in pairwise(sorted(forms)))


def _all(section: type[Section]) -> list[type[Section]]:
    return [found for sub in section.__subclasses__() for found in (sub, *_all(sub))]


def test_reading_a_job_file_imports_no_heavy_library() -> None:
    program = (
        "import sys\nfrom search.job.spec import JobSpec, json_schema\n"
        f"JobSpec.load({str(SHIPPED[0])!r}); json_schema()\n"
        "heavy = {'numpy', 'torch', 'ray', 'optuna', 'mlflow', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("section", "domain"),
    [
        ("training: {class_weights: balanced}", Fixed("balanced")),
        ("space: {class_weights: {choices: [balanced, null]}}", Choices(("balanced", None))),
        ("training: {batch_size: 8}", Fixed(None)),
    ],
)
def test_classes_may_be_weighed_where_there_are_some(section: str, domain: Any) -> None:
    job = JobSpec.loads(f"name: a\ntask: {{name: japanese-vowels}}\narms: [lstm]\n{section}\n")
    assert job.arms[0].space["class_weights"] == domain
    assert JobSpec.from_dump(job.dump(), job.base).arms == job.arms

"""An export is one configuration that trains again, loads again and is reported honestly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from exported_jobs import TASKS, SmallJob, small_job, write_own
from refusals import refused

from search.export.export import export
from search.export.folder import FILES, is_export
from search.export.job_file import job_file
from search.job.spec import JobSpec
from spaces.cells import parse
from trainables.data import tasks
from trainables.data.batches import Batches
from trainables.export.onnx import ExportError
from trainables.export.weights import load_model, read_metadata
from trainables.training.trainer import Training


@pytest.fixture
def job(tmp_path: Path) -> SmallJob:
    return small_job(tmp_path / "runs" / "small")


def answer_nothing(name: str, domain: Any) -> Any:
    raise AssertionError(f"{name} was asked for: {domain}")


def test_an_export_holds_four_files_and_nothing_else(job: SmallJob, tmp_path: Path) -> None:
    job.add()
    assert export(job.results, tmp_path / "out") == [tmp_path / "out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(FILES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "runs"]


@pytest.mark.parametrize("task", TASKS)
def test_the_job_file_trains_the_same_model_again(task: str, tmp_path: Path) -> None:
    job = small_job(tmp_path / "job", task)
    both = {"bidirectional": True} if not job.data.info.causal else {}
    noise = {"dropout": 0.3, "weight_drop": 0.2, "zoneout": 0.1}
    start = {"forget_bias": "chrono", "recurrent_init": "xavier"}
    rest: dict[str, Any] = {**both, **noise, **start, "learning_rate": 0.0123456789}
    trial = job.add("gru", seed=4_000_000_007, **rest)
    (folder,) = export(job.results, tmp_path / "out")
    again = JobSpec.load(folder / "config.yaml")
    data = tasks.load(again.task, again.base)
    again.check(data.info)
    (arm,) = again.arms
    assert arm.configure(answer_nothing) == trial.config
    assert again.search.trials == 1
    assert again.search.pruner.kind == "none"
    assert again.search.control_fraction == 0
    assert again.confirm.skipped
    assert again.training.seed == trial.seed
    training = Training(arm.configure(answer_nothing), data, seed=again.training.seed)
    training.advance(again.training.max_epochs)
    assert training.best is not None
    assert training.best.value == trial.value
    model, exported = training.best_model(), load_model(folder / "weights.safetensors")
    for (name, ours), theirs in zip(
        model.state_dict().items(), exported.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_the_job_file_of_own_data_names_the_data_wherever_the_export_is(
    job: SmallJob, tmp_path: Path
) -> None:
    job.add()
    (folder,) = export(job.results, tmp_path / "elsewhere" / "deep" / "out")
    content = yaml.safe_load((folder / "config.yaml").read_text())
    assert content["task"]["data"] == str(job.folder / "own.npz")


@pytest.mark.parametrize("name", ["1e-3", "3e-3", "1e5", "0", "no", "null", "on"])
def test_an_arm_whose_name_reads_like_something_else_is_exported_as_it_is(
    job: SmallJob, name: str
) -> None:
    trial = replace(job.add("gru"), arm=name)
    (arm,) = JobSpec.loads(job_file(job.results, trial, 1)).arms
    assert arm.name == name


def test_the_job_file_says_where_it_came_from(job: SmallJob, tmp_path: Path) -> None:
    trial = job.add("gru")
    (folder,) = export(job.results, tmp_path / "out")
    comment = (folder / "config.yaml").read_text().split("name:")[0]
    for fact in ("trial 0", "arm gru", "job small", repr(trial.value), job.data.info.fingerprint):
        assert fact in comment
    assert all(line.startswith("# ") for line in comment.strip().splitlines())


@pytest.mark.parametrize("arm", ["lstm", "gru", "rnn-relu", "transformer-encoder"])
def test_every_training_setting_is_in_the_job_file(arm: str, tmp_path: Path) -> None:
    job = small_job(tmp_path / "job", arms=arm)
    choices: dict[str, Any] = {
        "depth": 2, "hidden_size": 6, "residual": True, "optimizer": "rmsprop", "batch_size": 7,
        "weight_decay": 1e-05, "gradient_clip": None, "max_epochs": 2, "dropout": 0.1,
        "schedule": "plateau", "warm_up": 1, "decay_after": 1, "decay_factor": 0.5, "patience": 1,
    }  # fmt: skip
    unusual = {"heads": 2, "forget_bias": "zero", "recurrent_init": "xavier", "zoneout": 0.1}
    cell = parse(arm)
    choices |= {name: value for name, value in unusual.items() if cell.reads(name)}
    trial = job.add(arm, **choices)
    (folder,) = export(job.results, tmp_path / "out")
    (exported,) = JobSpec.load(folder / "config.yaml").arms
    assert exported.name == arm
    assert exported.configure(answer_nothing) == trial.config


@pytest.mark.parametrize("task", TASKS)
def test_the_onnx_model_gives_torch_s_outputs_on_the_task_s_raw_data(
    task: str, tmp_path: Path
) -> None:
    job = small_job(tmp_path / "job", task)
    job.add("lstm", depth=2)
    (folder,) = export(job.results, tmp_path / "out")
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    model = load_model(folder / "weights.safetensors")
    metadata = read_metadata(folder / "weights.safetensors")
    scaling, targets = metadata["scaling"], metadata["target_scaling"]
    assert (scaling is None) == (task not in ("vowels", "classification", "off-scale"))
    assert (targets is None) == (task != "off-scale")
    for batch in Batches(job.data.validation, job.data.info.kind).ordered():
        raw = batch.x.swapaxes(0, 1).numpy()
        if scaling is not None:
            raw = raw * np.float32(scaling["deviation"]) + np.float32(scaling["mean"])
        (ours,) = session.run(None, {"x": raw, "lengths": batch.lengths.numpy()})
        theirs = model(batch.x, batch.lengths).detach().numpy()
        if job.data.info.causal:
            valid_BT = np.arange(len(batch.x)) < batch.lengths.numpy()[:, None]
            ours, theirs = ours[valid_BT], theirs.swapaxes(0, 1)[valid_BT]
        if targets is not None:
            theirs = theirs * targets["deviation"] + targets["mean"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-5)


def test_a_model_that_onnxruntime_runs_differently_is_not_exported(
    job: SmallJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.export.onnx.operators import OPERATORS

    job.add("gru")
    wrong = replace(OPERATORS["gru", "reset-after"], activations=("Tanh", "Tanh"))
    monkeypatch.setitem(OPERATORS, ("gru", "reset-after"), wrong)
    with pytest.raises(ExportError, match=r"differs from the trained one by [\d.e-]+"):
        export(job.results, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


# Which configurations


def test_a_confirmed_configuration_is_exported_before_a_better_one_of_the_search(
    job: SmallJob, tmp_path: Path
) -> None:
    found = [job.add(arm, seed=seed) for seed, arm in enumerate(("lstm", "gru"))]
    worse, better = sorted(found, key=lambda trial: trial.value or 0)
    assert exported_arm(job, tmp_path / "search-only") == better.arm
    job.add(worse.arm, phase="confirm", finalist=0, max_epochs=1)
    assert exported_arm(job, tmp_path / "confirmed") == worse.arm


def exported_arm(job: SmallJob, out: Path) -> str:
    (folder,) = export(job.results, out)
    return str(read_metadata(folder / "weights.safetensors")["arm"])


def test_several_configurations_get_a_folder_each(job: SmallJob, tmp_path: Path) -> None:
    values = {job.add(arm, seed=seed).value for seed, arm in enumerate(("lstm", "gru", "lstm"))}
    paths = export(job.results, tmp_path / "out", top=2)
    assert all(is_export(path) for path in paths)
    assert [path.name for path in paths] == [
        f"{rank}-{c.trial.arm}-{c.trial.number}"
        for rank, c in enumerate(job.results.candidates()[:2], 1)
    ]
    assert len(export(job.results, tmp_path / "all", top=9)) == 3
    first = read_metadata(paths[0] / "weights.safetensors")["validation"]["accuracy"]
    assert first == max(v for v in values if v is not None)


def test_without_a_complete_trial_nothing_is_exported(job: SmallJob, tmp_path: Path) -> None:
    refused(lambda: export(job.results, tmp_path / "out"), "complete trial")
    job.add("gru", max_epochs=1)
    refused(lambda: export(job.results, tmp_path / "out", arm="lstm"), "complete trial", "lstm")
    refused(lambda: export(job.results, tmp_path / "out", arm="gruu"), "gruu", "gru")
    assert not (tmp_path / "out").exists()


def test_changed_data_and_lost_checkpoints_are_refused(job: SmallJob, tmp_path: Path) -> None:
    trial = job.add()
    assert trial.checkpoint is not None
    checkpoint = job.folder / "checkpoints" / trial.checkpoint
    checkpoint.rename(checkpoint.with_name("gone"))
    refused(lambda: export(job.results, tmp_path / "out"), "trial 0 of arm lstm", "checkpoint")
    checkpoint.with_name("gone").rename(checkpoint)
    write_own(job.folder / "own.npz", "classification", n=31)
    refused(lambda: export(job.results, tmp_path / "out"), "it has changed since")
    (job.folder / "own.npz").unlink()
    refused(lambda: export(job.results, tmp_path / "out"), "own.npz")


def test_a_checkpoint_with_another_value_than_the_journal_is_refused(
    job: SmallJob, tmp_path: Path
) -> None:
    job.add(value=2.0)
    refused(lambda: export(job.results, tmp_path / "out"), "2.0", "journal")


# Where it goes


def test_a_folder_of_something_else_is_never_touched(job: SmallJob, tmp_path: Path) -> None:
    job.add(max_epochs=1)
    out = tmp_path / "out"
    out.mkdir()
    export(job.results, out)  # an empty folder is nobody's
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("…")
    for force in (False, True):
        refused(lambda force=force: export(job.results, thesis, force=force), "something else")
        refused(lambda force=force: export(job.results, thesis / "thesis.tex", force=force), "file")
    assert [p.name for p in thesis.iterdir()] == ["thesis.tex"]


def test_an_export_is_replaced_with_force_alone_and_the_user_s_files_stay(
    job: SmallJob, tmp_path: Path
) -> None:
    job.add("lstm", max_epochs=1)
    out = tmp_path / "out"
    export(job.results, out)
    before = (out / "weights.safetensors").read_bytes()
    (out / "predictions.csv").write_text("mine")
    (out / "notes").mkdir()
    (out / "notes" / "a.txt").write_text("mine too")
    job.add("gru", learning_rate=0.03)
    refused(lambda: export(job.results, out, arm="gru"), "--force")
    assert (out / "weights.safetensors").read_bytes() == before
    export(job.results, out, arm="gru", force=True)
    assert (out / "weights.safetensors").read_bytes() != before
    assert (out / "predictions.csv").read_text() == "mine"
    assert (out / "notes" / "a.txt").read_text() == "mine too"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "runs"]


def test_an_export_never_takes_the_place_of_its_job(job: SmallJob, tmp_path: Path) -> None:
    job.add("lstm")
    for out in (job.folder, job.folder.parent, tmp_path, job.folder / ".." / job.folder.name):
        refused(lambda: export(job.results, out, force=True), "place of the job")  # noqa: B023


def test_a_user_s_file_with_the_name_of_an_exported_one_is_never_replaced(
    job: SmallJob, tmp_path: Path
) -> None:
    for arm in ("lstm", "gru"):
        job.add(arm)
    out = tmp_path / "out"
    export(job.results, out, top=2)
    (out / "card.md").write_text("of the user")
    refused(lambda: export(job.results, out, force=True), "card.md", "no export made it")
    assert (out / "card.md").read_text() == "of the user"
    assert len(list(out.iterdir())) == 3


def test_former_ranks_do_not_stay_beside_new_ones(job: SmallJob, tmp_path: Path) -> None:
    job.add("lstm", max_epochs=1)
    job.add("gru", max_epochs=1)
    out = tmp_path / "out"
    export(job.results, out, top=3, arm="lstm")
    export(job.results, out, top=3, arm="gru", force=True)
    assert [p.name for p in out.iterdir()] == ["1-gru-0"]


def test_a_failed_export_leaves_the_former_one(job: SmallJob, tmp_path: Path) -> None:
    job.add("lstm", max_epochs=1)
    out = tmp_path / "out"
    export(job.results, out)
    content = {p.name: p.read_bytes() for p in out.iterdir()}
    bad = job.add("gru", max_epochs=1, value=2.0)
    refused(lambda: export(job.results, out, force=True), str(bad.value))
    assert {p.name: p.read_bytes() for p in out.iterdir()} == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "runs"]


def test_a_folder_that_cannot_be_made_is_refused(job: SmallJob, tmp_path: Path) -> None:
    job.add(max_epochs=1)
    (tmp_path / "file").touch()
    refused(lambda: export(job.results, tmp_path / "file" / "out"), "file/out", "another folder")


# What the card says


def test_the_card_reports_what_was_measured_and_what_was_not(job: SmallJob, tmp_path: Path) -> None:
    trial = job.add("gru", max_epochs=2)
    (folder,) = export(job.results, tmp_path / "search-only")
    text = (folder / "card.md").read_text()
    assert "not confirmed with fresh seeds" in text
    assert "nothing was scored on test data" in text
    assert "±" not in text
    assert f"{trial.parameters:,} parameters" in text
    assert job.data.info.fingerprint in text
    assert str(trial.seed) in text
    for seed, accuracy in enumerate((0.5, 0.7, 0.6)):
        job.add("gru", phase="confirm", finalist=0, seed=seed, max_epochs=1, test=accuracy)
    job.add("gru", phase="confirm", finalist=0, seed=9, state="diverged", max_epochs=1, test=0.0)
    (folder,) = export(job.results, tmp_path / "confirmed")
    text = (folder / "card.md").read_text()
    assert "3 fresh seeds, test" in text
    (accuracies,) = (line for line in text.splitlines() if line.startswith("| accuracy ↑ |"))
    assert accuracies.endswith("| 0.6000 ± 0.1000 |")  # by hand: 0.5, 0.6 and 0.7
    assert "1 replicate that diverged" in text


def snippet(folder: Path, having: str) -> str:
    parts = (folder / "card.md").read_text().split("```python\n")[1:]
    (found,) = (code for part in parts if having in (code := part.split("```")[0]))
    return found


@pytest.mark.parametrize("task", TASKS)
def test_the_card_s_snippets_run_and_agree(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path / "job", task)
    job.add("gru", max_epochs=1)
    (folder,) = export(job.results, tmp_path / "out")
    monkeypatch.chdir(folder)
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    exec(snippet(folder, "onnxruntime"), first)
    exec(snippet(folder, "torch"), second)
    ours = first.get("logits", first.get("prediction"))
    theirs = second.get("predictions", second["outputs"]).detach().numpy()
    if job.data.info.causal:  # the second sequence has a single step
        ours, theirs = ours[:, :1], theirs[:1].swapaxes(0, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)

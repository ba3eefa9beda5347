"""`gatesearch predict` gives the trained model's answers and refuses what it cannot answer."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported_jobs import TASKS, SmallJob, small_job
from numpy.typing import NDArray
from refusals import refused

import search.export.predict
from search.cli.local import predict as command_predict
from search.export.export import export
from search.export.folder import FILES, FORMAT
from search.export.predict import apply, predict
from spaces.errors import InputError
from spaces.tasks import JapaneseVowels
from trainables.data import tasks
from trainables.training.trainer import Training

METRICS_AGREE = 1e-5  # relative: sums in another order, float64 for float32


class Case:
    """A job of one kind with an exported model, and its validation data as a user would have it."""

    def __init__(self, folder: Path, task: str) -> None:
        self.job: SmallJob = small_job(folder / "job", task)
        self.trial = self.job.add("lstm", max_epochs=2)
        (self.folder,) = export(self.job.results, folder / "export")
        self.info = self.job.data.info
        self.data = folder / "new.npz"
        self.sequences = self.job.data.validation
        np.savez(self.data, **self.arrays())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return raw x, lengths and y."""
        x, task = self.sequences.unscaled()[:], self.job.job.task
        if isinstance(task, JapaneseVowels):  # its x is scaled already
            scaling = tasks.scaling(task, self.job.data)
            assert scaling is not None
            x = x * scaling[1] + scaling[0]
        found = {"x": x, "lengths": self.sequences.lengths}
        return found if self.sequences.y is None else {**found, "y": self.sequences.y}

    def training(self) -> Training:
        assert self.trial.checkpoint is not None
        return Training.restore(
            self.job.folder / "checkpoints" / self.trial.checkpoint,
            self.trial.config,
            self.job.data,
            seed=self.trial.seed,
        )


@pytest.fixture(scope="module", params=TASKS)
def case(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("classes"), "classification")


def test_metrics_are_those_of_training(case: Case) -> None:
    prediction = apply(case.folder, case.data)
    assert len(prediction) == len(case.sequences)
    expected = case.training().evaluate("validation")
    assert prediction.metrics == pytest.approx(expected, rel=METRICS_AGREE, abs=1e-6)
    value = prediction.metrics[case.info.metric.name]
    assert value == pytest.approx(case.trial.value, rel=METRICS_AGREE, abs=1e-5)


def test_answers_are_the_torch_model_s_in_the_order_of_the_data(case: Case) -> None:
    prediction = apply(case.folder, case.data)
    model = case.training().best_model()
    starts = case.sequences.starts
    for at, length in enumerate(case.sequences.lengths):
        x = torch.from_numpy(case.sequences.steps(starts[at] + np.arange(length)))
        with torch.inference_mode():
            outputs = model(x[:, None], torch.tensor([length]))
        logits = outputs[-1, 0] if case.info.causal else outputs[0]
        if case.info.kind == "regression":
            mean, deviation = case.sequences.y_scaling or (0.0, 1.0)
            expected = pytest.approx(float(logits[0]) * deviation + mean, rel=1e-6, abs=1e-5)
            assert prediction.arrays["prediction"][at] == expected
            continue
        probabilities = logits.sigmoid() if case.info.kind == "next-step" else logits.softmax(-1)
        np.testing.assert_allclose(
            prediction.arrays["probabilities"][at], probabilities.numpy(), atol=1e-5
        )


def test_small_batches_give_the_same_answers(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    together = apply(case.folder, case.data)
    monkeypatch.setattr(search.export.predict, "BATCH_NUMBERS", 500)
    apart = apply(case.folder, case.data)
    for name, array in together.arrays.items():
        np.testing.assert_allclose(array, apart.arrays[name], atol=1e-5)
    assert apart.metrics == pytest.approx(together.metrics, rel=METRICS_AGREE)


def test_a_sequence_alone_is_run_as_among_others(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never as one row, which onnxruntime multiplies by a kernel that rounds otherwise."""
    rows: list[int] = []
    run = onnxruntime.InferenceSession.run

    def counted(self: Any, names: Any, given: dict[str, NDArray[Any]], *more: Any) -> Any:
        rows.append(len(given["x"]))
        return run(self, names, given, *more)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", counted)
    monkeypatch.setattr(search.export.predict, "BATCH_NUMBERS", 1)
    apply(case.folder, case.data)
    assert {*rows} == {2}


def test_without_targets_there_are_answers_and_no_metrics(case: Case, tmp_path: Path) -> None:
    arrays = case.arrays()
    arrays.pop("y", None)
    np.savez(tmp_path / "new.npz", **arrays)
    prediction = apply(case.folder, tmp_path / "new.npz")
    assert bool(prediction.metrics) == case.info.causal  # there the targets are x itself
    assert len(prediction) == len(case.sequences)


def test_a_single_step_is_answered_too(case: Case, tmp_path: Path) -> None:
    x = case.arrays()["x"][:2]
    np.savez(tmp_path / "new.npz", x=x, lengths=[1, 1])
    prediction = apply(case.folder, tmp_path / "new.npz")
    assert len(prediction) == 2
    assert prediction.metrics == {}


def test_csv_npz_and_json_hold_the_same(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command_predict(case.folder, case.data, tmp_path / "out.csv")
    assert f"{len(case.sequences)} sequences, written to" in capsys.readouterr().out
    prediction = predict(case.folder, case.data, tmp_path / "out.npz")
    command_predict(case.folder, case.data, as_json=True)
    as_json = json.loads(capsys.readouterr().out)
    command_predict(case.folder, case.data)
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "out.csv").read_text()
    assert case.info.metric.name in printed.err
    assert as_json["metrics"] == prediction.metrics
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    with np.load(tmp_path / "out.npz") as arrays:
        answer = {"classification": "class", "regression": "prediction", "next-token": "symbol"}
        name = answer.get(case.info.kind)
        for at, (row, entry) in enumerate(zip(rows, as_json["predictions"], strict=True)):
            assert int(row["sequence"]) == entry["sequence"] == at
            if name is not None:
                assert float(row[name]) == pytest.approx(entry[name])
                assert entry[name] == pytest.approx(arrays[name][at].item())
            if name != "prediction":
                assert entry["probabilities"] == pytest.approx(arrays["probabilities"][at])
            if case.info.kind in ("classification", "next-step"):
                columns = [float(row[f"probability_{k}"]) for k in range(case.info.outputs)]
                assert columns == pytest.approx(entry["probabilities"])
            if case.info.kind in ("classification", "next-token"):
                assert int(row[name or ""]) == int(np.argmax(entry["probabilities"]))
                assert float(row["probability"]) == pytest.approx(max(entry["probabilities"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.npz"]


def test_metrics_are_given_for_each_part_of_the_data_s_own_split(
    classes: Case, tmp_path: Path
) -> None:
    arrays = classes.arrays()
    split = np.array(["train", "test"])[np.arange(len(arrays["y"])) % 2]
    np.savez(tmp_path / "new.npz", **arrays, split=split)
    prediction = apply(classes.folder, tmp_path / "new.npz")
    hits = prediction.arrays["class"] == arrays["y"]
    assert set(prediction.by_split) == {"train", "test"}
    for part, metrics in prediction.by_split.items():
        assert metrics["accuracy"] == pytest.approx(hits[split == part].mean())


def test_the_user_s_whole_data_file_can_be_given(classes: Case) -> None:
    prediction = apply(classes.folder, classes.job.folder / "own.npz")
    assert len(prediction) == 30
    assert set(prediction.metrics) == {"accuracy", "loss"}


def test_other_features_are_refused(case: Case, tmp_path: Path) -> None:
    arrays = case.arrays()
    if case.info.kind == "next-token":
        arrays["x"][3] = case.info.inputs
        expected = ("symbols", str(case.info.inputs))
    else:
        arrays["x"] = arrays["x"][:, 1:]
        expected = (f"{case.info.inputs} features", str(case.info.inputs - 1))
    np.savez(tmp_path / "new.npz", **arrays)
    refused(lambda: apply(case.folder, tmp_path / "new.npz"), "new.npz: x", *expected)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"x": np.full((6, 4), np.nan)}, ("new.npz: x", "missing")),
        ({"x": np.zeros((6, 4), object)}, ("pickled",)),
        ({"lengths": np.array([2, 3])}, ("lengths", "sum to")),
        ({"lengths": np.array([6, 0])}, ("lengths[1]", "at least 1")),
        ({"y": np.array([0, 3])}, ("new.npz: y", "classes 0 to 2")),
        ({"y": np.array([0.0, 1.0])}, ("new.npz: y", "whole numbers, not float64")),
        ({"y": np.array([0])}, ("new.npz: y", "each of the 2")),
        ({"split": np.array(["train"])}, ("new.npz: split", "each of the 2")),
        ({"z": np.array([0])}, ("unknown z",)),
    ],
)
def test_bad_data_is_refused(
    changes: dict[str, Any], parts: tuple[str, ...], classes: Case, tmp_path: Path
) -> None:
    arrays = {"x": np.zeros((6, 4)), "lengths": np.array([2, 4]), **changes}
    np.savez(tmp_path / "new.npz", **arrays)
    refused(lambda: apply(classes.folder, tmp_path / "new.npz"), *parts)


def test_outputs_that_are_not_finite_are_refused(classes: Case, tmp_path: Path) -> None:
    model = onnx.load(classes.folder / "model.onnx")
    (bias,) = (value for value in model.graph.initializer if value.name == "readout/bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.inf, np.float32), bias.name))
    onnx.save(model, tmp_path / "model.onnx")
    refused(lambda: apply(tmp_path, classes.data), "new.npz: sequence 0", "finite")


def test_a_folder_that_is_no_export_is_refused(classes: Case, tmp_path: Path) -> None:
    refused(lambda: apply(tmp_path / "none", classes.data), "none", "must be a folder")
    refused(lambda: apply(tmp_path, classes.data), "model.onnx")
    content = (classes.folder / "model.onnx").read_bytes()
    for wrong in (b"", b"no model", content[: len(content) // 2]):
        (tmp_path / "model.onnx").write_bytes(wrong)
        refused(lambda: apply(tmp_path, classes.data), "model.onnx")


@pytest.mark.parametrize("metadata", [None, "no json", "{}", '{"format": 99, "gatesearch": "9.0"}'])
def test_a_model_that_gatesearch_did_not_export_is_refused(
    metadata: str | None, classes: Case, tmp_path: Path
) -> None:
    model = onnx.load(classes.folder / "model.onnx")
    onnx.helper.set_model_props(model, {} if metadata is None else {"gatesearch": metadata})
    onnx.save(model, tmp_path / "model.onnx")
    refused(lambda: apply(tmp_path, classes.data), "model.onnx", "gatesearch")


def tampered(folder: Path, *path: str, value: Any) -> str:
    """The metadata of an export with one value changed, or removed where it is ..."""
    model = onnx.load(folder / "model.onnx")
    (text,) = (each.value for each in model.metadata_props if each.key == "gatesearch")
    metadata = json.loads(text)
    parent = metadata
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return json.dumps(metadata)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((("task",), value) for value in (..., None, 3, [], "x", {})),
        *((("task", "kind"), value) for value in (..., "x", [], None)),
        *((("task", "outputs"), value) for value in (2, 0, -1, True, 2**31, 10**400, "\x1b[31m3")),
        *((("task", "inputs"), value) for value in (..., 0, 1.5, None)),
        *((("task", "metric"), value) for value in (..., None, {"name": "accuracy"})),
        (("task", "unknown"), 1),
        *((("config",), value) for value in (..., None, 3, [], "x", {})),
        *((("config", "hidden_size"), value) for value in (..., 0, -4, "x", None, True)),
        *((("config", "heads"), value) for value in (0, "x")),
        (("format",), ...),
        (("format",), "\x1b[31m" * 1000),
    ],
)
def test_metadata_that_someone_changed_are_refused_in_a_sentence(
    path: tuple[str, ...], value: Any, classes: Case, tmp_path: Path
) -> None:
    model = onnx.load(classes.folder / "model.onnx")
    metadata = tampered(classes.folder, *path, value=value)
    onnx.helper.set_model_props(model, {"gatesearch": metadata})
    onnx.save(model, tmp_path / "model.onnx")
    try:
        prediction = apply(tmp_path, classes.data)
    except InputError as error:
        (problem,) = error.problems
        assert problem.place == str(tmp_path / "model.onnx")
        assert str(error).replace("\n", "").isprintable() and len(str(error)) < 1_000
    else:  # what nothing depends on
        assert path[0] == "config" and len(prediction) == len(classes.sequences)


@pytest.mark.parametrize("metadata", ["[" * 100_000, "[]", "null", '{"format": NaN}', "3"])
def test_metadata_that_are_none_are_refused(metadata: str, classes: Case, tmp_path: Path) -> None:
    model = onnx.load(classes.folder / "model.onnx")
    onnx.helper.set_model_props(model, {"gatesearch": metadata})
    onnx.save(model, tmp_path / "model.onnx")
    refused(lambda: apply(tmp_path, classes.data), "model.onnx", "remedy")


def test_a_model_of_another_task_than_it_tells_is_refused(classes: Case, tmp_path: Path) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Cast", ["lengths"], ["y"], to=onnx.TensorProto.FLOAT)],
        "other",
        [onnx.helper.make_tensor_value_info("lengths", onnx.TensorProto.INT64, ["B"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    metadata = tampered(classes.folder, "format", value=FORMAT)
    onnx.helper.set_model_props(model, {"gatesearch": metadata})
    onnx.save(model, tmp_path / "model.onnx")
    refused(lambda: apply(tmp_path, classes.data), "model.onnx", "metadata tell")


def test_a_missing_data_file_is_refused(classes: Case, tmp_path: Path) -> None:
    refused(lambda: apply(classes.folder, tmp_path / "none.npz"), "none.npz")


def test_a_bad_output_is_refused_before_anything_is_read(classes: Case, tmp_path: Path) -> None:
    missing = tmp_path / "none.npz"
    refused(lambda: predict(classes.folder, missing, tmp_path / "out.txt"), "--out", ".csv", ".npz")
    refused(lambda: predict(classes.folder, missing, tmp_path / "no" / "out.csv"), "--out", "no")
    (tmp_path / "folder.csv").mkdir()
    refused(lambda: predict(classes.folder, missing, tmp_path / "folder.csv"), "--out", "folder")


@pytest.mark.parametrize("name", ["new.npz", "link.npz", "hard.npz", "sub/../new.npz"])
def test_data_is_never_overwritten_however_its_path_is_spelt(
    name: str, classes: Case, tmp_path: Path
) -> None:
    data = tmp_path / "new.npz"
    data.write_bytes(classes.data.read_bytes())
    (tmp_path / "link.npz").symlink_to(data)
    (tmp_path / "hard.npz").hardlink_to(data)
    (tmp_path / "sub").mkdir()
    refused(lambda: predict(classes.folder, data, tmp_path / name), "--out", "must not take", "new")
    assert data.read_bytes() == classes.data.read_bytes()
    assert (tmp_path / "link.npz").is_symlink()
    link = tmp_path / "link.npz"
    refused(lambda: predict(classes.folder, link, data), "--out", "must not take", "link.npz")


def test_the_export_s_own_files_are_never_overwritten(classes: Case, tmp_path: Path) -> None:
    for file in FILES:
        out = tmp_path / f"{file}.csv"
        out.symlink_to(classes.folder / file)
        refused(lambda: predict(classes.folder, classes.data, out), "--out", file)  # noqa: B023
        assert out.is_symlink()


def test_an_output_that_cannot_be_written_is_refused(classes: Case) -> None:
    rule = "out.csv must be in a folder that you may write to ("
    refused(lambda: predict(classes.folder, classes.data, Path("/proc/out.csv")), "--out", rule)


def test_prediction_imports_neither_torch_nor_ray(classes: Case) -> None:
    code = (
        "import sys; from pathlib import Path; from search.export.predict import apply; "
        "print(len(apply(Path(sys.argv[1]), Path(sys.argv[2])))); "
        "heavy = {'torch', 'ray', 'optuna', 'mlflow', 'onnx', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, classes.folder, classes.data],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(classes.sequences)}\n"

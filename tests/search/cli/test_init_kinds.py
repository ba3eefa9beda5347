"""`init` writes a job file for every kind of data in every format that has it, and it trains."""

import json
import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from installed import gatesearch
from pyarrow import csv, parquet
from refusals import refused
from small_trainings import small_config

from search.cli.data import init, inspect
from search.run import session
from spaces.own_data import CLASS, SUFFIXES
from trainables.training.trainer import Training

N = 30
LENGTHS = np.arange(N) % 4 + 2
STEPS = int(LENGTHS.sum())
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(STEPS, 2)).astype(np.float32)
MOODS = np.array(["calm", "glad", "sad"])[np.arange(N) % 3]
LABELS = DRAW.integers(0, 2, (N, 2))
NUMBERS = DRAW.normal(size=(N, 2)) * [1, 100]
TAGS = np.array(["rest", "walk"])[(X[:, 0] > 0).astype(int)]
FRAMES = DRAW.integers(0, 2, (STEPS, 3))
SYMBOLS = np.arange(STEPS) % 5
SERIES = (np.sin(np.arange(120) / 3) * 20 + 100).astype(np.float32)

#: By what is predicted: the arrays of an .npz, and the kind that they are taken for.
DATA: dict[str, tuple[str, dict[str, Any]]] = {
    "classes": ("classification", {"x": X, "lengths": LENGTHS, "y": MOODS}),
    "labels": ("multi-label", {"x": X, "lengths": LENGTHS, "y": LABELS}),
    "tags": ("tagging", {"x": X, "lengths": LENGTHS, "y": TAGS}),
    "number": ("regression", {"x": X, "lengths": LENGTHS, "y": NUMBERS[:, 1]}),
    "numbers": ("regression", {"x": X, "lengths": LENGTHS, "y": NUMBERS}),
    "series": ("forecasting", {"x": SERIES[:, None], "lengths": [120]}),
    "symbols": ("next-token", {"x": SYMBOLS, "lengths": LENGTHS}),
    "frames": ("next-step", {"x": FRAMES, "lengths": LENGTHS}),
}


def columns(what: str) -> dict[str, Any]:
    """The same as a table."""
    arrays = DATA[what][1]
    x, lengths, y = arrays["x"], np.asarray(arrays["lengths"]), arrays.get("y")
    found = {} if what == "series" else {"who": np.repeat(np.arange(len(lengths)), lengths)}
    found["step"] = np.concatenate([np.arange(n) for n in lengths])
    x = x[:, None] if x.ndim == 1 else x
    found |= {f"x{at}": x[:, at] for at in range(x.shape[1])}
    if y is not None:
        each = y if len(y) == len(x) else np.repeat(y, lengths, axis=0)
        names = ["target"] if each.ndim == 1 else ["target_a", "target_b"]
        found |= dict(zip(names, each.reshape(len(x), -1).T, strict=True))
    return found


def as_npz(path: Path, what: str) -> None:
    np.savez(path, **DATA[what][1])


def as_table(path: Path, what: str) -> None:
    writer = csv.write_csv if path.suffix == ".csv" else parquet.write_table
    writer(pa.table(columns(what)), path)


def as_folder(path: Path, what: str) -> None:
    table = columns(what)
    path.mkdir()
    for who in range(N):
        own = {name: c[table["who"] == who] for name, c in table.items() if name != "who"}
        csv.write_csv(pa.table(own), path / f"{who:02}.csv")


def as_ts(path: Path, what: str) -> None:
    arrays = DATA[what][1]
    begins = np.cumsum(LENGTHS) - LENGTHS
    x = arrays["x"].reshape(STEPS, -1)
    head = {"classes": "@classLabel true a b c\n", "number": "@targetLabel true\n"}.get(what, "")
    lines = []
    for at, (begin, length) in enumerate(zip(begins, LENGTHS, strict=True)):
        own = x[begin : begin + length].T.tolist()
        dimensions = [",".join(map(str, dimension)) for dimension in own]
        lines.append(":".join([*dimensions, *([str(arrays["y"][at])] if head else [])]))
    path.write_text(head + "@data\n" + "\n".join(lines) + "\n")


def as_text(path: Path, what: str) -> None:
    path.write_text("Über allen Gipfeln\nist Ruh.\n" * 40)


def as_sounds(path: Path, what: str) -> None:
    for number in range(12):
        file = path / "ab"[number % 2] / f"{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(DRAW.integers(-9000, 9000, 600).astype("<i2").tobytes())


def as_class(path: Path, what: str) -> None:
    as_npz(path.with_name("arrays.npz"), what)
    path.with_name("own.py").write_text(
        "import pathlib\nimport numpy as np\nclass Own:\n    def load(self):\n"
        "        path = pathlib.Path(__file__).with_name('arrays.npz')\n"
        "        return dict(np.load(path))\n"
    )


OF_TABLES = [*DATA]
#: By a file's name: how it is written, and what it can hold.
FORMATS: dict[str, tuple[Callable[[Path, str], None], list[str]]] = {
    "own.csv": (as_table, OF_TABLES),
    "own.parquet": (as_table, OF_TABLES),
    "own.npz": (as_npz, OF_TABLES),
    "own.ts": (as_ts, ["classes", "number", "symbols", "frames"]),
    "own.txt": (as_text, ["symbols"]),
    "tables": (as_folder, ["classes", "labels", "tags", "number", "numbers", "symbols", "frames"]),
    "sounds": (as_sounds, ["classes"]),
    "own.Own": (as_class, OF_TABLES),
}
CASES = [(file, what) for file, (_, held) in FORMATS.items() for what in held]


def test_every_format_is_here() -> None:
    assert {Path(file).suffix for file in FORMATS} == {*SUFFIXES, "", ".Own"}
    assert CLASS not in SUFFIXES


@pytest.mark.parametrize(("file", "what"), CASES)
def test_init_finds_the_kind_and_writes_a_job_file_that_trains(
    file: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FORMATS[file][0](tmp_path / file, what)
    kind = DATA[what][0]
    inspect(tmp_path / file, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["refusals"]) == (kind, [])
    init(tmp_path / file, tmp_path / "job.yaml")
    job, data = session.load(tmp_path / "job.yaml")
    assert data.info.kind == job.task.of_kind == kind
    training = Training(small_config(), data, seed=1)
    training.advance(1)
    assert np.isfinite(training.curve[-1].value)


@pytest.mark.parametrize("what", DATA)
def test_the_data_is_the_same_in_every_format_that_init_writes_for(
    what: str, tmp_path: Path
) -> None:
    prints = set()
    for file in ("own.csv", "own.parquet", "own.npz", "own.Own"):
        FORMATS[file][0](tmp_path / file, what)
        init(tmp_path / file, tmp_path / f"{file}.yaml")
        prints.add(session.load(tmp_path / f"{file}.yaml")[1].info.fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("file", "what"),
    [("own.csv", "classes"), ("own.csv", "numbers"), ("own.npz", "tags"), ("own.ts", "classes")],
)
def test_a_test_file_of_its_own_is_named_and_compared(
    file: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (tmp_path / f"{name}{Path(file).suffix}" for name in ("first", "second"))
    for path in (first, second):
        FORMATS[file][0](path, what)
    inspect(first, test=second, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["test_sequences"], found["refusals"]) == (N, [])
    assert any("30 sequences of the test file are in the other" in w for w in found["warnings"])
    (tmp_path / "jobs").mkdir()
    init(first, tmp_path / "jobs" / "job.yaml", test=second)
    _, data = session.load(tmp_path / "jobs" / "job.yaml")
    assert len(data.test) == N and len(data.train) + len(data.validation) == N
    inspect(first, test=second)
    shown = capsys.readouterr().out
    assert f"{second}: 30 sequences" in shown and f"--test {second}" in shown


@pytest.mark.parametrize(
    ("what", "options", "kind"),
    [
        ("labels", {"target": "target_a"}, "classification"),
        ("labels", {"target": "target_b, target_a"}, "multi-label"),
        ("labels", {"target": "target_a,target_b", "kind": "regression"}, "regression"),
        ("tags", {"kind": "tagging"}, "tagging"),
        ("series", {"target": "x0", "kind": "forecasting"}, "forecasting"),
        ("classes", {"target": "x0"}, "forecasting"),
    ],
)
def test_what_the_user_says_of_targets_stands(
    what: str, options: dict[str, Any], kind: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    as_table(tmp_path / "own.csv", what)
    inspect(tmp_path / "own.csv", as_json=True, **options)
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == kind
    said = [name.strip() for name in options.get("target", "target").split(",")]
    target = found["columns"]["target"]
    assert what in ("tags",) or (target if isinstance(target, list) else [target]) == said


def test_a_row_that_differs_makes_no_tags_of_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = columns("classes")
    table["target"][1] = "sad"
    csv.write_csv(pa.table(table), tmp_path / "own.csv")
    inspect(tmp_path / "own.csv", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "classification"
    assert found["refusals"][0]["place"].endswith("own.csv: row 2: target")


@pytest.mark.parametrize(
    ("file", "what", "kind", "rule"),
    [
        ("own.ts", "classes", "forecasting", "series must be in a table or an .npz"),
        ("own.ts", "classes", "multi-label", "must be a table or an .npz"),
        ("own.csv", "classes", "multi-label", "multi-label needs columns of 0 and 1"),
        ("own.csv", "frames", "forecasting", "forecasting needs a column of numbers"),
        ("own.csv", "numbers", "tagging", "tagging needs a column with the class of each row"),
    ],
)
def test_kinds_that_data_does_not_have_are_refused(
    file: str, what: str, kind: Any, rule: str, tmp_path: Path
) -> None:
    FORMATS[file][0](tmp_path / file, what)
    refused(lambda: init(tmp_path / file, None, kind=kind), rule, "remedy")


#: A budget of seconds in place of the one that init writes.
QUICK = {
    r"search: \{trials: 12": "search: {trials: 2",
    r"max_epochs: \d+, patience: \d+": "max_epochs: 2",
    r"replicates: auto": "replicates: 2",
    r"max_replicates: 40": "margin: 0.5",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", DATA)
def test_the_job_of_each_kind_runs_to_its_verdict(what: str, tmp_path: Path) -> None:
    as_table(tmp_path / "own.csv", what)
    gatesearch("init", "own.csv", "--out", "job.yaml", cwd=tmp_path)
    text = (tmp_path / "job.yaml").read_text()
    for before, after in QUICK.items():
        text, times = re.subn(before, after, text)
        assert times == 1, before
    (tmp_path / "job.yaml").write_text(text)
    gatesearch("run", "job.yaml", cwd=tmp_path, seconds=500)
    assert json.loads((tmp_path / "runs" / "own" / "verdict.json").read_text())["sentence"]

"""`gatesearch validate` on malformed data of every form: exit 2, place, rule, remedy, nothing made.

A sound file has bytes cut off, altered, doubled, left out or put in; each form is a job of its own.
"""

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import SOUND, broken

from search.cli.app import run_command
from spaces.kinds import METRICS
from spaces.own_data import CLASS, SUFFIXES

JOB = "name: own\ntask: {task}\narms: [gru]\n"
ROLES = "id: who, target: [a, b]"
ROWS = "".join(f"w{n // 3},{n % 7}.5,{n // 3 % 2},{n // 6 % 2}\n" for n in range(48))
LABELS = ("who,x,a,b\n" + ROWS).encode()
MODULE = b"""\
import numpy as np
class Own:
    def __init__(self, n=12):
        self.n = n
    def load(self):
        return {"x": np.ones((2 * self.n, 1)), "lengths": [2] * self.n, "y": [0, 1] * 6}
"""

#: By form: the job's task, the files that are sound, and the one that is broken.
FORMS: dict[str, tuple[str, dict[str, bytes], str]] = {
    ".csv": (
        "{kind: classification, data: {file: own.csv, id: pump, time: stamp, target: state}}",
        {"own.csv": SOUND[".csv"]}, "own.csv",
    ),
    ".parquet": (
        "{kind: classification, data: {file: own.parquet, id: pump, target: state}}",
        {"own.parquet": SOUND[".parquet"]}, "own.parquet",
    ),
    ".npz": ("{kind: classification, data: own.npz}", {"own.npz": SOUND[".npz"]}, "own.npz"),
    ".ts": ("{kind: classification, data: own.ts}", {"own.ts": SOUND[".ts"]}, "own.ts"),
    ".txt": ("{kind: next-token, data: {file: own.txt, window: 9}}", {"own.txt": SOUND[".txt"]},
        "own.txt"),
    CLASS: ("{kind: classification, data: own.Own}", {"own.py": MODULE}, "own.py"),
    "folder": (
        "{kind: regression, data: {file: own, target: b}}",
        {f"own/{n}.csv": b"x,b\n1,2\n3,2\n" for n in range(8)}, "own/3.csv",
    ),
    "folder of sounds": (
        "{kind: classification, data: own}",
        {f"own/{'ab'[n % 2]}/{n}.wav": SOUND[".wav"] for n in range(8)}, "own/a/4.wav",
    ),
    "labels": (f"{{kind: multi-label, data: {{file: own.csv, {ROLES}}}}}", {"own.csv": LABELS},
        "own.csv"),
    "several numbers": (f"{{kind: regression, data: {{file: own.csv, {ROLES}}}}}",
        {"own.csv": LABELS}, "own.csv"),
    "tags": ("{kind: tagging, data: {file: own.csv, id: who, target: a}}", {"own.csv": LABELS},
        "own.csv"),
    "frames": ("{kind: next-step, data: {file: own.csv, id: who, features: [a, b]}}",
        {"own.csv": LABELS}, "own.csv"),
    "series": ("{kind: forecasting, horizon: 2, data: {file: own.csv, target: x}}",
        {"own.csv": LABELS}, "own.csv"),
    "series in arrays": ("{kind: forecasting, horizon: 2, window: 3, data: own.npz}",
        {"own.npz": SOUND["series"]}, "own.npz"),
    "a test file": (
        "{kind: classification, data: {file: own.csv, test: new.csv, id: who, target: a}}",
        {"own.csv": LABELS, "new.csv": LABELS}, "new.csv",
    ),
    "a test file in .ts": (
        "{kind: classification, data: {file: own.ts, test: new.ts}}",
        {"own.ts": SOUND[".ts"], "new.ts": SOUND[".ts"]}, "new.ts",
    ),
    "gaps": ("{kind: classification, data: {file: own.ts, missing: mask}}",
        {"own.ts": SOUND[".ts"]}, "own.ts"),
}  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if "__pycache__" not in name}


def validated(
    form: str, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Return exit code and message of `validate` on a form, one of its files replaced."""
    task, files, altered = FORMS[form]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name, sound in {**files, "job.yaml": JOB.format(task=task).encode()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(sound)
        if content is not None:
            (folder / altered).write_bytes(content)
        before = files_of(folder)
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["gatesearch", "validate", str(folder / "job.yaml")])
            code = run_command()
        assert files_of(folder) == before
        return code, capsys.readouterr().err


def test_every_form_of_data_is_here_and_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert {*SUFFIXES, CLASS} <= FORMS.keys()
    kinds = {task.split("kind: ")[1].split(",")[0] for task, _, _ in FORMS.values()}
    assert kinds == set(METRICS)
    for form in FORMS:
        assert validated(form, None, capsys)[0] == 0, form


@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_malformed_data_is_refused_with_place_rule_and_remedy_or_read(
    form: str, data: st.DataObject, capsys: pytest.CaptureFixture[str]
) -> None:
    _, files, altered = FORMS[form]
    code, said = validated(form, data.draw(broken(files[altered])), capsys)
    assert code in (0, 2), said
    if code == 2:
        place = altered.split("/")[0].removesuffix(".py")
        assert said.startswith(place) and "remedy: " in said and "Traceback" not in said, said

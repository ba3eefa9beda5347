"""Data that a class makes: the same as from its arrays, and refused by the same rules."""

from pathlib import Path

import numpy as np
import pytest

from search.run import session
from spaces.errors import InputError
from spaces.own_data import DataSection, is_class_name
from spaces.own_task import OwnData
from trainables.data.formats.python_class import read_any
from trainables.data.tasks import load

MODULE = """\
import numpy as np

class Gestures:
    def __init__(self, steps=6):
        self.steps = steps

    def load(self):
        rng = np.random.default_rng(0)
        y = np.arange(40) % 2
        x = rng.standard_normal((40, self.steps, 2)) + y[:, None, None]
        lengths = np.full(40, self.steps)
        return {"x": x.reshape(-1, 2), "lengths": lengths, "y": np.array(["calm", "shaken"])[y]}
"""
RULES = {
    "no such class": ("Gesture", "", "must have a class Gesture; it has none"),
    "no such module": ("absent.Gestures", "", "must be importable; it raises ModuleNotFound"),
    "fails": ("Fails", "class Fails:\n    def load(self): return 1 / 0\n", "ZeroDivisionError"),
    "has no load": ("Empty", "class Empty: pass\n", "must have a method load()"),
    "no mapping": ("List", "class List:\n    def load(self): return [1]\n", "return a mapping"),
    "lacks y": (
        "Lacks",
        "class Lacks(Gestures):\n    def load(self):\n        found = super().load()\n"
        "        del found['y']\n        return found\n",
        "y is missing",
    ),
    "an unknown name": (
        "More", "class More(Gestures):\n    def load(self): return super().load() | {'z': 1}\n",
        "'z' is none of them",
    ),
    "objects": (
        "Odd", "class Odd(Gestures):\n    def load(self): return super().load() | {'x': [None]}\n",
        "x must be an array of numbers or of text",
    ),
    "ends Python": (
        "Ends", "class Ends(Gestures):\n    def load(self): raise SystemExit(0)\n", "SystemExit"
    ),
    "rows of many lengths": (
        "Torn", "class Torn(Gestures):\n"
        "    def load(self): return super().load() | {'x': [[1], [1, 2]]}\n",
        "must be an array; it raises ValueError",
    ),
    "lengths that do not fit": (
        "Short", "class Short(Gestures):\n"
        "    def load(self): return super().load() | {'lengths': np.full(40, 5)}\n",
        "the lengths must sum to the steps of x",
    ),
}  # fmt: skip


def task(**more: object) -> OwnData:
    data = {"file": "gestures.Gestures", **more}
    return OwnData.model_validate({"kind": "classification", "data": data})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gestures.py").write_text(MODULE)
    return tmp_path


def test_a_class_gives_the_data_of_its_arrays(folder: Path) -> None:
    arrays, _ = read_any(folder / "gestures.Gestures")
    np.savez(folder / "same.npz", **arrays)
    made, stored = load(task(), folder), load(task(file="same.npz"), folder)
    assert made.info.fingerprint == stored.info.fingerprint
    assert made.info.labels == ("calm", "shaken")
    assert load(task(options={"steps": 9}), folder).info.longest == 9


def test_a_class_may_be_a_dataclass_with_postponed_annotations(folder: Path) -> None:
    text = MODULE.replace("class Gestures:", "@dataclass\nclass Gestures:").replace(
        "    def __init__(self, steps=6):\n        self.steps = steps\n", "    steps: int = 6\n"
    )
    first = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    (folder / "gestures.py").write_text(first + text)
    assert load(task(options={"steps": 9}), folder).info.longest == 9


def test_a_module_beside_the_job_file_goes_with_a_submitted_job(folder: Path) -> None:
    assert task().data.files(folder) == [Path("gestures.py")]
    assert task(file="sub/gestures.Gestures").data.files(folder) == []  # an installed one


def test_an_installed_module_is_found_where_none_lies_beside_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "elsewhere" / "sensors"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "hand.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(package.parent))
    assert load(task(file="sensors.hand.Gestures"), tmp_path).info.name == "sensors.hand"


@pytest.mark.parametrize(("name", "text", "rule"), RULES.values(), ids=RULES)
def test_a_class_that_breaks_a_rule_is_refused(
    name: str, text: str, rule: str, folder: Path
) -> None:
    (folder / "gestures.py").write_text(MODULE + text)
    file = name if "." in name else f"gestures.{name}"
    with pytest.raises(InputError) as caught:
        load(task(file=file), folder)
    (problem,) = caught.value.problems
    assert problem.place.startswith(file) and rule in problem.rule and problem.remedy


def test_a_class_that_makes_other_data_each_time_is_refused_where_it_is_inspected(
    folder: Path,
) -> None:
    (folder / "gestures.py").write_text(MODULE.replace("default_rng(0)", "default_rng()"))
    with pytest.raises(InputError, match="must return the same whenever"):
        read_any(folder / "gestures.Gestures")


def test_a_job_on_a_class_that_makes_other_data_each_time_is_not_begun(folder: Path) -> None:
    job = folder / "job.yaml"
    data = "{kind: classification, data: gestures.Gestures}"
    job.write_text(f"name: odd\ntask: {data}\narms: [lstm]\n")
    assert session.load(job)[1].info.name == "gestures"
    (folder / "gestures.py").write_text(MODULE.replace("default_rng(0)", "default_rng()"))
    with pytest.raises(InputError, match="must return the same whenever"):
        session.load(job)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"file": "a.npz", "options": {"steps": 1}}, "options"),
        ({"file": "a.Gestures", "test": "b.Gestures"}, "test"),
        ({"file": "a.Gestures", "id": "pump"}, "id"),
    ],
)
def test_keys_that_a_class_does_not_take_are_refused(data: dict[str, object], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        DataSection.model_validate(data)


@pytest.mark.parametrize(
    ("name", "is_class"),
    [("gestures.Gestures", True), ("a.b.C", True), ("a.csv", False), ("a.CSV", False),
     ("gestures", False), ("a.b", False), ("3.Class", False), ("a-b.Class", False)],
)  # fmt: skip
def test_a_class_is_told_from_a_file_by_its_name(name: str, is_class: bool) -> None:
    assert is_class_name(name) == is_class

"""What is said of a machine: whether jobs run there, on which paths, what is missing."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from search.run.doctor import CellPaths, cell_paths, diagnose, unmet
from spaces.cells import CELLS
from spaces.errors import Problem
from trainables.engine.gpu import paths
from trainables.machine import Card, Cores, Driver, Machine, Torch
from trainables.training.measured_path import WORDS

ROOT = Path(__file__).resolve().parents[3]
GIB = 2**30
H100 = Card("NVIDIA H100", 80 * GIB, (9, 0))
P100 = Card("Tesla P100", 16 * GIB, (6, 0))
ARCHITECTURES = ("sm_80", "sm_90", "compute_120")
VERSIONS = {"python": "3.11.9", "torch": "2.13.0", "triton": "3.7.1", "ray": "2.60.0"}
PLAIN = Machine(Cores(8, 8), 32 * GIB, versions=VERSIONS)
WITH_CARD = replace(
    PLAIN, driver=Driver("580.95", (H100,)), torch=Torch("13.0", ARCHITECTURES, (H100,))
)
OLD_CARD = replace(
    PLAIN, driver=Driver("580.95", (P100,)), torch=Torch("13.0", ARCHITECTURES, (P100,))
)
NO_RAY = Problem("ray", "it must be installed", "pip install ray")
NO_TORCH = Problem("torch", "it must be installed", "pip install torch")
SLOW = CellPaths("gru-mut1", "reference", None)

#: name: (machine, paths, unmet, ready, ready on a card, what a missing line says)
MACHINES: dict[str, tuple[Machine, list[CellPaths], list[Problem], bool, bool, list[str]]] = {
    "without a card": (PLAIN, [], [], True, False, []),
    "with one core of many": (replace(PLAIN, cores=Cores(64, 1)), [], [], True, False, []),
    "without a card and triton": (
        replace(PLAIN, versions=VERSIONS | {"triton": None}),
        *([], [], True, False, []),
    ),
    "with a card": (WITH_CARD, [], [], True, True, []),
    "with a card, without triton": (
        replace(WITH_CARD, versions=VERSIONS | {"triton": None}),
        *([], [], True, True, ["triton: it must be installed"]),
    ),
    "with a card and triton, without a compiler": (
        replace(WITH_CARD, compiler=False),
        *([], [], True, True, ["C compiler: triton must find gcc or clang"]),
    ),
    "with a card that is too old": (
        OLD_CARD,
        *([], [], True, False, ["Tesla P100: torch must have code for compute capability 6.0"]),
    ),
    "with an old card and a new one": (
        replace(WITH_CARD, torch=Torch("13.0", ARCHITECTURES, (P100, H100))),
        *([], [], True, True, ["Tesla P100: torch must have code for"]),
    ),
    "with a card, torch without CUDA": (
        replace(
            WITH_CARD,
            torch=Torch(),
            versions=VERSIONS | {"torch": "2.13.0+cpu"},
        ),
        *([], [], True, False, ["torch: it must be built with CUDA, not 2.13.0+cpu"]),
    ),
    "with a card that torch does not see": (
        replace(WITH_CARD, torch=Torch("13.0")),
        *([], [], True, False, ["CUDA: torch must see the cards that nvidia-smi lists"]),
    ),
    "with a driver that is too old": (
        replace(WITH_CARD, torch=Torch("13.0", problem="The driver is too old")),
        *([], [], True, False, ["CUDA: torch must be able to start it (The driver is too old)"]),
    ),
    "with a broken driver": (
        replace(
            PLAIN,
            driver=Driver("580.95", problem="it does not answer"),
            torch=Torch("13.0", problem="CUDA unknown error"),
        ),
        *([], [], True, False),
        ["NVIDIA driver: nvidia-smi must list the cards (it does not answer)", "CUDA: torch must"],
    ),
    "with an old processor": (PLAIN, [SLOW], [], True, False, ["processor: it must have AVX2"]),
    "without ray": (PLAIN, [], [NO_RAY], False, False, []),
    "with a card, without ray": (WITH_CARD, [], [NO_RAY], False, False, []),
    "with a card, without torch": (
        replace(WITH_CARD, torch=Torch()),
        *([], [NO_TORCH], False, False, []),
    ),
}


@pytest.mark.parametrize(
    ("machine", "paths", "lacking", "ready", "on_card", "missing"), MACHINES.values(), ids=MACHINES
)
def test_a_machine_is_told_what_runs_on_it_and_what_it_lacks(
    machine: Machine,
    paths: list[CellPaths],
    lacking: list[Problem],
    ready: bool,
    on_card: bool,
    missing: list[str],
) -> None:
    found = diagnose(machine, paths, lacking)
    assert (found.ready, found.ready_on_card) == (ready, on_card)
    assert len(found.missing) == len(missing)
    for problem, start in zip(found.missing, missing, strict=True):
        assert f"{problem.place}: {problem.rule}".startswith(start)
    for problem in (*found.missing, *found.reasons):
        assert problem.remedy and "\n" not in str(problem.remedy)
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["ready"] is ready and told["cores"]["usable"] == machine.cores.usable


def test_a_machine_with_an_old_card_says_which_one_cannot_be_used() -> None:
    machine = replace(WITH_CARD, torch=Torch("13.0", ARCHITECTURES, (P100, H100)))
    cards = diagnose(machine).as_dict()["cards"]
    assert [(card["capability"], card["usable"]) for card in cards] == [
        ("6.0", False),
        ("9.0", True),
    ]


@pytest.mark.parametrize(
    ("requirement", "version", "rule"),
    [
        ("ray[tune]>=2.60,<2.61", "2.60.0", None),
        ("torch>=2.8,<2.14", "2.13.0+cpu", None),
        ("torch>=2.8,<2.14", "2.14.0", "its version must be <2.14,>=2.8, not 2.14.0"),
        ("optuna>=5.0", None, "it must be installed"),
        ("pytest>=8; extra == 'test'", None, None),
        ("tomli>=1; python_version < '3.0'", None, None),
    ],
)
def test_a_package_that_is_absent_or_of_another_version_is_named_with_its_remedy(
    requirement: str, version: str | None, rule: str | None
) -> None:
    found = list(unmet([requirement], lambda name: version))
    assert [problem.rule for problem in found] == ([] if rule is None else [rule])
    for problem in found:
        assert problem.remedy.startswith(f"pip install '{problem.place}")


#: name: (card, whether there is Triton, paths of some cells on the card)
CARDS: dict[str, tuple[paths.Card | None, bool, dict[str, str | None]]] = {
    "no card": (None, True, {"lstm-standard": None, "lstm-peephole": None}),
    "H100": (
        paths.Card((9, 0), 227 << 10, 132),
        True,
        {"lstm-standard": "torch", "lstm-peephole": "generated", "rnn-indrnn": "generated"},
    ),
    "H100, no Triton": (
        paths.Card((9, 0), 227 << 10, 132),
        False,
        {"lstm-standard": "torch", "lstm-peephole": "reference", "rnn-indrnn": "reference"},
    ),
    "T4": (
        paths.Card((7, 5), 64 << 10, 40),
        True,
        {"gru-reset-after": "torch", "gru-reset-before": "reference", "rnn-indrnn": "reference"},
    ),
}


@pytest.mark.parametrize(("card", "triton", "some"), CARDS.values(), ids=CARDS)
def test_every_cell_has_a_path_on_the_processor_and_on_a_card_that_is_there(
    card: paths.Card | None, triton: bool, some: dict[str, str | None]
) -> None:
    found = cell_paths(card, triton)
    assert [path.cell for path in found] == [cell.name for cell in CELLS]
    assert {path.cpu for path in found} <= set(WORDS)
    on_card = {path.cell: path.card for path in found}
    assert (None in on_card.values()) is (card is None)
    assert {cell: on_card[cell] for cell in some} == some
    assert {path for path in on_card.values() if path is not None} <= set(WORDS)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.modules['llvmlite'] = None", "llvmlite: its import must succeed (import of llvm"),
        ("sys.modules['torch'] = None", "torch: its import must succeed (import of torch"),
    ],
)
def test_a_package_whose_import_fails_is_why_no_job_can_run(program: str, reason: str) -> None:
    asked = (
        f"import sys; {program}; sys.argv[1:] = ['doctor']; import search.cli as cli; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"No job can run here.\n{reason}"), done.stderr
    assert "cores" in done.stdout


def test_this_machine_runs_jobs_on_the_one_core_that_it_is_given(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("gatesearch"), "doctor", "--json"],
        cwd=tmp_path,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["ready"] and found["paths"] and found["cores"]["usable"] == 1
    assert not list(tmp_path.iterdir())

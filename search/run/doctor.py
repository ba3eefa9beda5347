"""Whether a job can run on this machine, on which paths its cells run, and what is missing.

Nothing is started: `examine` reads the machine (trainables/machine.py) and compares it with what
gatesearch needs.
"""

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from spaces.cells import CELLS, Cell
from spaces.errors import Problem
from trainables import machine
from trainables.machine import Card, Machine

if TYPE_CHECKING:
    from trainables.cells import Variant
    from trainables.engine.gpu import paths

#: Units of the cells whose paths are shown: what fits on a card depends on them.
UNITS = 64


@dataclass(frozen=True)
class CellPaths:
    """What runs one cell of UNITS units in float32, by the keys of measured_path.WORDS."""

    cell: str
    cpu: str
    card: str | None  #: None where there is no card that torch can use


@dataclass(frozen=True)
class Diagnosis:
    """What a machine has and what it lacks."""

    machine: Machine
    paths: tuple[CellPaths, ...]
    reasons: tuple[Problem, ...]  #: why no job can run here
    missing: tuple[Problem, ...]  #: what keeps jobs from cards or from speed

    @property
    def ready(self) -> bool:
        """Whether a job can run here."""
        return not self.reasons

    @property
    def ready_on_card(self) -> bool:
        """Whether a job with gpus_per_trial can run here."""
        return self.ready and bool(self.machine.torch.usable_cards)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        found = self.machine
        return {
            "ready": self.ready,
            "ready_on_card": self.ready_on_card,
            "cores": {"usable": found.cores.usable, **asdict(found.cores)},
            "memory_bytes": found.memory_bytes,
            "driver": found.driver.version,
            "cuda": found.torch.cuda,
            "cards": [
                {
                    "name": card.name,
                    "memory_bytes": card.memory_bytes,
                    "capability": capability(card),
                    "usable": card in found.torch.usable_cards,
                }
                for card in found.cards
            ],
            "versions": dict(found.versions),
            "paths": [asdict(paths) for paths in self.paths],
            "reasons": [asdict(problem) for problem in self.reasons],
            "missing": [asdict(problem) for problem in self.missing],
        }


def examine() -> Diagnosis:
    """Return the diagnosis of this machine; in a second or two, since torch is imported."""
    found = machine.read()
    reasons = list(unmet())
    paths: tuple[CellPaths, ...] = ()
    try:
        paths = cell_paths(_first_card(found), found.versions.get("triton") is not None)
    except (ImportError, OSError) as error:
        if not reasons:  # else one of them is why
            reasons.append(_not_imported(error))
    return diagnose(found, paths, reasons)


def _not_imported(error: ImportError | OSError) -> Problem:
    """Return the problem of a package that is installed and whose import fails."""
    package = (getattr(error, "name", None) or "torch").partition(".")[0]
    rule = f"its import must succeed ({machine.sentence(str(error))})"
    return Problem(package, rule, f"pip install --force-reinstall {package}")


def diagnose(
    found: Machine, paths: Sequence[CellPaths] = (), reasons: Sequence[Problem] = ()
) -> Diagnosis:
    """Return the diagnosis of a machine. reasons: why no job can run there, if none can."""
    missing = list(_missing_for_speed(paths))
    if all(problem.place != "torch" for problem in reasons):
        missing += _missing_for_cards(found)
    return Diagnosis(found, tuple(paths), tuple(reasons), tuple(missing))


def unmet(
    requirements: Iterable[str] | None = None,
    version: Callable[[str], str | None] = machine.version,
) -> Iterator[Problem]:
    """Yield each package that gatesearch requires and that is not installed in that version.

    requirements: as pyproject.toml has them; by default those of the installed gatesearch.
    """
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("gatesearch") or ()
        except importlib.metadata.PackageNotFoundError:
            yield Problem("gatesearch", "it must be installed", "pip install . in its folder")
            return
    for text in requirements:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        found = version(need.name)
        need.marker = None
        if found is None:
            yield Problem(need.name, "it must be installed", f"pip install '{need}'")
        elif not need.specifier.contains(found, prereleases=True):
            rule = f"its version must be {need.specifier}, not {found}"
            yield Problem(need.name, rule, f"pip install '{need}'")


def _missing_for_cards(found: Machine) -> Iterator[Problem]:
    """Yield what keeps torch from the cards, and generated kernels from those that it can use."""
    torch, driver = found.torch, found.driver
    if driver.problem is not None:
        rule = f"nvidia-smi must list the cards ({driver.problem})"
        yield Problem("NVIDIA driver", rule, "install the driver again, or restart the machine")
    if torch.problem is not None:
        rule = f"torch must be able to start it ({torch.problem})"
        remedy = f"install NVIDIA's driver for CUDA {torch.cuda} or newer"
        yield Problem("CUDA", rule, remedy)
    elif driver.cards and not torch.cards:
        yield _hidden_cards(found)
    for card in dict.fromkeys(torch.cards):
        if card not in torch.usable_cards:
            known = ", ".join(torch.architectures) or "none"
            ours = capability(card)
            rule = f"torch must have code for compute capability {ours}, not only for {known}"
            remedy = "install a build of torch that has, or hide the card (CUDA_VISIBLE_DEVICES)"
            yield Problem(card.name, rule, remedy)
    if torch.usable_cards and found.versions.get("triton") is None:
        rule = "it must be installed for kernels to be generated for the card"
        yield Problem("triton", rule, "pip install triton")
    elif torch.usable_cards and not found.compiler:
        rule = "triton must find gcc or clang, and Python's headers"
        yield Problem("C compiler", rule, "apt-get install gcc libc6-dev python3-dev, or set CC")


def _hidden_cards(found: Machine) -> Problem:
    """Return why torch sees none of the cards that the driver lists."""
    if found.torch.cuda is None:
        version = found.versions.get("torch") or ""
        remedy = f"pip install --force-reinstall torch=={version.partition('+')[0]}"
        return Problem(
            "torch",
            f"it must be built with CUDA, not {version}",
            f"{remedy}, from an index with torch's build for CUDA",
        )
    rule = "torch must see the cards that nvidia-smi lists"
    return Problem("CUDA", rule, "look at CUDA_VISIBLE_DEVICES, which hides cards")


def _missing_for_speed(paths: Sequence[CellPaths]) -> Iterator[Problem]:
    if any(path.cpu in ("kernel", "reference") for path in paths):
        rule = "it must have AVX2 and FMA, or AVX-512, for the compiled engine"
        yield Problem("processor", rule, "use another machine; cells run here, but slowly")


def _first_card(found: Machine) -> "paths.Card | None":
    """Return what paths depend on of the first card that torch can use."""
    usable = found.torch.usable_cards
    if not usable:
        return None
    import torch

    from trainables.engine.gpu import paths

    return paths.card_of(torch.device("cuda", found.torch.cards.index(usable[0])))


def cell_paths(card: "paths.Card | None", triton: bool = True) -> tuple[CellPaths, ...]:
    """Return the paths of every cell of the catalogue.

    card: one that torch can use; triton: whether kernels can be generated for it. Raises
    ImportError or OSError where a library of the engine cannot be imported.
    """
    return tuple(_paths_of(cell, card, triton) for cell in CELLS)


def _paths_of(cell: Cell, card: "paths.Card | None", triton: bool) -> CellPaths:
    from trainables.cells import VARIANTS

    variant = VARIANTS.get((cell.family, cell.gates))
    if variant is None:
        return CellPaths(cell.name, "operators", "operators" if card else None)
    on_card = None if card is None else _path_on_card(variant, card, triton)
    return CellPaths(cell.name, _path_on_cpu(variant), on_card)


def _path_on_cpu(variant: "Variant") -> str:
    import torch

    from trainables.layers import scan

    return scan.path(variant, torch.empty(1, 1, 1), UNITS)


def _path_on_card(variant: "Variant", card: "paths.Card", triton: bool) -> str:
    """Return what runs one model on a card; cohorts have a kernel wherever one is generated."""
    from trainables.engine.gpu import paths
    from trainables.layers import scan

    torch_has = variant.name in scan.KERNELS
    if not triton:
        return "torch" if torch_has else "reference"
    return paths.path_of(variant, UNITS, "float32", card, torch_has=torch_has, double=False)


def capability(card: Card) -> str:
    """Return a card's compute capability as people write it: "9.0"."""
    return "{}.{}".format(*card.capability)

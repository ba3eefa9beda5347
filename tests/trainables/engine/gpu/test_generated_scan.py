"""Generated kernels compute what the equations say, forward and backward, for every variant."""

from dataclasses import dataclass

import pytest
import torch
from interpreted import needs_interpreter
from torch import Tensor

from trainables import cells
from trainables.cells.variant import Variant
from trainables.cells.zoneout import zoned
from trainables.engine.gpu.paths import Path
from trainables.layers import scan, stacked_scan
from trainables.layers.layer import Layer
from trainables.layers.model import reverse

pytestmark = needs_interpreter

T, B, HIDDEN, INPUTS = 5, 5, 6, 3
LENGTHS = torch.tensor([5, 2, 1, 4, 5])


@dataclass(frozen=True)
class Case:
    """One way to run a variant."""

    models: int
    both: bool = False
    zoneout: bool = False
    hidden: int = HIDDEN


CASES = {
    "one model": Case(1),
    "three models": Case(3),
    "three models in both directions": Case(3, both=True),
    "one model with zoneout in both directions": Case(1, both=True, zoneout=True),
    "three models with zoneout": Case(3, zoneout=True),
}
#: At sizes that fill lanes, or have one lane more or fewer than a power of two.
WIDE = {f"{hidden} units": Case(1, hidden=hidden) for hidden in (1, 16, 17, 32)}


class Run:
    """A variant's scan with everything that it is given, drawn once, in any type and path."""

    def __init__(self, variant: Variant, case: Case) -> None:
        self.variant, self.case, hidden = variant, case, case.hidden
        draw = torch.Generator().manual_seed(3)
        inputs = hidden if variant.square else INPUTS
        scans = case.models * (1 + case.both)
        layers = [Layer(variant, inputs, hidden, draw) for _ in range(scans)]
        self.parameters = {
            name: torch.stack([layer.get_parameter(name).detach() for layer in layers]).double()
            for name, _ in layers[0].named_parameters()
        }
        for value in self.parameters.values():  # no value keeps its start: not 0, not the same
            value += 0.1 * torch.randn(value.shape, generator=draw)
        self.x = torch.randn(case.models, T, B, inputs, generator=draw).double()
        self.lengths = torch.stack([LENGTHS.roll(k) for k in range(case.models)])
        width = len(variant.W) * hidden
        self.statistics = None
        if variant.norm == "batch":
            self.statistics = torch.zeros(scans, width), torch.ones(scans, width)
        self.keep = None
        if case.zoneout:
            shape = scans, T, B, len(variant.zoneout_fields) * hidden
            self.keep = (torch.rand(shape, generator=draw) < 0.4).double()
        self.dy = torch.randn(scans, T, B, variant.width(hidden), generator=draw).double()

    def __call__(self, path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the output, and the gradient of everything that has one, by name."""
        given = {"x": self.x, **self.parameters}
        given = {name: value.to(dtype).requires_grad_() for name, value in given.items()}
        statistics = None
        if self.statistics is not None:
            mean, variance = self.statistics
            statistics = mean.to(dtype), variance.to(dtype)
        y = stacked_scan.scans(
            zoned(self.variant) if self.case.zoneout else self.variant,
            {name: value for name, value in given.items() if name != "x"},
            given["x"],
            self.lengths,
            self.case.hidden,
            path,
            statistics=statistics,
            training=True,
            keep_STBF=None if self.keep is None else self.keep.to(dtype),
        )
        gradients = torch.autograd.grad((y * self.dy.to(dtype)).sum(), list(given.values()))
        return {"y": y.detach(), **dict(zip(given, gradients, strict=True))}


def check(variant: Variant, case: Case) -> None:
    run = Run(variant, case)
    generated, expected = run("generated", torch.float32), run("reference", torch.float64)
    for name, value in expected.items():
        # Layer norm of few units divides by a small deviation.
        scale = value.abs().max().clamp(min=1e-3)
        error = float((generated[name].double() - value).abs().max() / scale)
        assert error < 3e-5, f"{name} is off by {error:.1e}"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("variant", cells.VARIANTS.values(), ids=lambda v: v.name)
def test_a_generated_scan_is_that_of_the_equations(variant: Variant, case: Case) -> None:
    check(variant, case)


@pytest.mark.parametrize("case", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("name", ["lstm-projected", "lstm-layer-norm", "gru-mut1", "linear-qrnn"])
def test_lanes_beyond_a_layers_width_change_nothing(name: str, case: Case) -> None:
    if name == "lstm-projected" and case.hidden == 1:
        pytest.skip("a projection halves the units")
    if name == "lstm-layer-norm" and case.hidden == 1:
        pytest.skip("one unit has no variance")
    check(next(v for v in cells.VARIANTS.values() if v.name == name), case)


@pytest.mark.parametrize("variant", cells.VARIANTS.values(), ids=lambda v: v.name)
def test_the_stacked_reference_is_that_of_each_layer(variant: Variant) -> None:
    run = Run(variant, Case(2, both=True, zoneout=True))
    stacked = run("reference", torch.float64)["y"]
    for at in range(4):
        k, backwards = at % 2, at >= 2
        parameters = {name: value[at] for name, value in run.parameters.items()}
        assert run.keep is not None
        x, keep, lengths = run.x[k], run.keep[at], run.lengths[k]
        if backwards:
            x, keep = reverse(x, lengths), reverse(keep, lengths)
        ran, seen = zoned(variant), scan.windowed(variant, x)
        if run.statistics is None:
            a = scan.hoist(ran, parameters, seen)
        else:
            statistics = run.statistics[0][at].double(), run.statistics[1][at].double()
            a = scan.batch_normed(ran, parameters, seen, lengths, statistics)
        y = scan.reference(ran, parameters, x, a, lengths, HIDDEN, keep)
        y = reverse(y, lengths) if backwards else y
        valid = torch.arange(T).unsqueeze(1) < lengths
        torch.testing.assert_close(stacked[at][valid], y[valid])

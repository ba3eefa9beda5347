"""The compiled engine is the reference path, forward and backward, at every shape."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from llvmlite import binding as llvm
from torch import Tensor

from trainables import cells, engine
from trainables.cells import Variant
from trainables.cells.noise import Dropout, Noise
from trainables.engine.cpu.ir import SimdType
from trainables.engine.cpu.shared import emit_shared
from trainables.layers import scan
from trainables.layers.layer import Layer

pytestmark = pytest.mark.skipif(not engine.available(), reason="the processor has no AVX2")

#: T, B, I, H: less than a vector, no whole number of vectors, more rows than go at a time, and one
#: of everything.
SHAPES = [(5, 4, 3, 5), (7, 9, 4, 21), (4, 70, 35, 40), (3, 1, 1, 1), (2, 6, 17, 130)]


@pytest.fixture(params=cells.VARIANTS.values(), ids=lambda variant: variant.name)
def variant(request: Any) -> Variant:
    found: Variant = request.param
    return found


def layer_of(variant: Variant, inputs: int, hidden: int, dtype: torch.dtype) -> Layer:
    draw = torch.Generator().manual_seed(7)
    layer = Layer(variant, inputs, hidden, draw).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, dtype=dtype, generator=draw)
            parameter.add_(0.3 * noise / (hidden**0.5 if parameter.dim() > 1 else 1))
    return layer


def first_statistics(layer: Layer) -> tuple[Tensor, Tensor] | None:
    """Return the running statistics of a new layer."""
    if layer.variant.norm != "batch":
        return None
    mean = layer.get_buffer("running_mean")
    return torch.zeros_like(mean), torch.ones_like(mean)


def outputs(path: str, layer: Layer, x_TBI: Tensor, lengths_B: Tensor) -> Tensor:
    variant, hidden = layer.variant, layer.hidden
    parameters, statistics = dict(layer.named_parameters()), first_statistics(layer)
    if path == "engine":
        return scan.scan(variant, parameters, x_TBI, lengths_B, hidden, statistics, True)
    window_TBI = scan.windowed(variant, x_TBI)
    if statistics is not None:
        a_TBK = scan.batch_normed(variant, parameters, window_TBI, lengths_B, statistics)
    else:
        a_TBK = scan.hoist(variant, parameters, window_TBI)
    return scan.reference(variant, parameters, x_TBI, a_TBK, lengths_B, hidden)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("ragged", [False, True])
def test_values_and_gradients_are_those_of_the_reference_path(
    variant: Variant,
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    tolerance: float,
    ragged: bool,
) -> None:
    T, B, inputs, hidden = shape
    inputs = hidden if variant.square else inputs + (variant.gaps == "elapsed")
    layer = layer_of(variant, inputs, hidden, dtype)
    draw = torch.Generator().manual_seed(8)
    x_TBI = torch.randn(T, B, inputs, dtype=dtype, generator=draw)
    if variant.gaps == "elapsed":  # no time passes backwards
        x_TBI[..., -1].abs_()
    x_TBI.requires_grad_()
    lengths = torch.randint(1, T + 1, (B,), generator=draw) if ragged else torch.full((B,), T)
    valid_TB1 = (torch.arange(T)[:, None] < lengths)[..., None]
    found: list[list[Tensor]] = []
    for path in ("reference", "engine"):
        y_TBH = torch.where(valid_TB1, outputs(path, layer, x_TBI, lengths), 0)
        weight = torch.randn(y_TBH.shape, dtype=dtype, generator=draw.manual_seed(9))
        wanted = [*layer.parameters(), x_TBI]
        found.append([y_TBH, *torch.autograd.grad((y_TBH * weight).sum(), wanted)])
    for expected, got in zip(*found, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * scale)


def test_the_engine_runs_every_variant_on_this_processor(variant: Variant) -> None:
    assert scan.path(variant, torch.zeros(1, 1, 1), 8) == "engine"


def test_other_types_go_the_reference_path() -> None:
    variant = cells.find("lstm", "peephole")
    assert scan.path(variant, torch.zeros(1, 1, 1, dtype=torch.bfloat16), 8) == "reference"


def test_what_is_not_a_number_stays_so(variant: Variant) -> None:
    inputs = 4 if variant.square else 3
    layer = layer_of(variant, inputs, 4, torch.float32)
    x_TBI = torch.zeros(3, 2, inputs)
    x_TBI[1, 0, 0] = float("nan")
    y_TBH = outputs("engine", layer, x_TBI, torch.tensor([3, 3]))
    if variant.norm != "batch":  # which mixes sequences and steps
        assert y_TBH[0].isfinite().all()
        assert y_TBH[:, 1].isfinite().all()
    assert y_TBH[1:, 0].isnan().any()


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    layer = layer_of(cells.find("gru", "reset-after"), 3, 4, torch.float64)
    x_TBI = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    y_TBH = outputs("engine", layer, x_TBI, torch.tensor([3, 3]))
    (first,) = torch.autograd.grad(y_TBH.sum(), x_TBI, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), x_TBI)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (5, 3, 1)], ids=str)
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_a_retained_graph_gives_the_same_gradients_again(
    variant: Variant, lengths: tuple[int, ...], zoneout: float
) -> None:
    """A backward pass overwrites the tape of the forward pass, but not what it returned."""
    draw = torch.Generator().manual_seed(3)
    layer = Layer(variant, 6, 6, draw, zoneout=zoneout)
    x_TBI = torch.randn(5, 3, 6, generator=draw, requires_grad=True)
    y_TBH = layer(x_TBI, torch.tensor(lengths), Noise(updates=Dropout(0.3, np.random.SFC64(1))))
    dy_TBH = torch.randn(y_TBH.shape, generator=draw)
    wanted, before = [x_TBI, *layer.parameters()], y_TBH.detach().clone()
    times = [torch.autograd.grad(y_TBH, wanted, dy_TBH, retain_graph=True) for _ in range(3)]
    assert all(map(torch.equal, times[0], times[1])) and all(map(torch.equal, times[0], times[2]))
    assert torch.equal(y_TBH, before)


def test_threads_that_share_a_graph_get_the_same_gradients() -> None:
    draw = torch.Generator().manual_seed(3)
    layer = Layer(cells.find("lstm", "standard"), 64, 64, draw)
    x_TBI = torch.randn(50, 16, 64, generator=draw, requires_grad=True)
    y_TBH = layer(x_TBI, torch.full((16,), 50))

    def gradient(_: int) -> Tensor:
        return torch.autograd.grad(y_TBH.sum(), x_TBI, retain_graph=True)[0]

    alone = gradient(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, alone) for found in pool.map(gradient, range(40)))


def test_inputs_and_gradients_need_not_be_contiguous() -> None:
    layer = layer_of(cells.find("lstm", "standard"), 3, 5, torch.float64)
    x_BTI = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 4])
    found = []
    for path in ("reference", "engine"):
        y_TBH = outputs(path, layer, x_BTI.transpose(0, 1), lengths)
        found.append(torch.autograd.grad(y_TBH.permute(2, 1, 0).sum(), x_BTI)[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


def test_scans_in_several_threads_do_not_disturb_each_other() -> None:
    variants = [cells.find("gru", gates) for gates in ("reset-after", "mut3", "slim-3")]
    layers = [layer_of(variant, 3, 20, torch.float64) for variant in variants]
    x_TBI = torch.randn(30, 9, 3, dtype=torch.float64)
    lengths = torch.arange(22, 31)

    def gradients(layer: Layer) -> list[Tensor]:
        for _ in range(20):
            y_TBH = outputs("engine", layer, x_TBI, lengths)
            found = torch.autograd.grad(y_TBH.square().sum(), list(layer.parameters()))
        return [y_TBH.detach(), *found]

    alone = [gradients(layer) for layer in layers]
    with ThreadPoolExecutor(len(layers)) as pool:
        together = list(pool.map(gradients, layers))
    for expected, got in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


def test_a_scan_in_inference_mode_leaves_nothing_that_training_cannot_use() -> None:
    layer = Layer(cells.VARIANTS["lstm", "standard"], 3, 5, torch.Generator().manual_seed(0))
    x_TBI, lengths_B = torch.ones(31, 3, 3), torch.tensor([31, 4, 17])  # no other test's shape
    with torch.inference_mode():
        layer(x_TBI, lengths_B)
    layer(x_TBI, lengths_B).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 5, 16, 37])
@pytest.mark.parametrize("probability", [1e-9, 0.3, 1 - 1e-9])
def test_dropout_over_rows_is_dropout_over_the_padded_batch(
    dtype: torch.dtype, width: int, probability: float
) -> None:
    def dropout() -> Dropout:
        return Dropout(probability, np.random.SFC64(5))

    padded = torch.randn(4 * 3, width + 2, dtype=dtype)[:, :width]
    places = torch.tensor([7, 0, 1, 11, 3])
    out = torch.full((len(places), width + 1), 7.0, dtype=dtype)
    levels = dropout().levels(padded.numel())
    engine.drop(out[:, :width], padded[places], levels, places, dropout().last, dropout().scale)
    assert torch.equal(out[:, :width], dropout()(padded)[places])
    assert (out[:, width] == 7).all()


@pytest.mark.parametrize(("double", "lanes"), [(False, 8), (True, 4)])
def test_what_variants_share_compiles_for_processors_without_avx512(
    double: bool, lanes: int
) -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu="haswell", features="+avx2,+fma,-avx512f", opt=3
    )
    code = machine.emit_assembly(llvm.parse_assembly(emit_shared(SimdType(double, lanes))))
    assert "ymm" in code and "zmm" not in code

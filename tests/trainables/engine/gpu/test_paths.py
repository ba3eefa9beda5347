"""The table of paths: what runs a variant at a size on a card, and over how many programs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainables import cells
from trainables.engine.gpu.paths import (
    INTERPRETED,
    MATRIX_BYTES,
    SPLITS,
    Card,
    Shape,
    card_of,
    lanes,
    path_of,
    shape_of,
)

A100, H100 = Card((8, 0), 163 << 10, 108), Card((9, 0), 227 << 10, 132)
L4, T4 = Card((8, 9), 99 << 10, 58), Card((7, 5), 64 << 10, 40)
VARIANTS = {variant.name: variant for variant in cells.VARIANTS.values()}

#: Variant, units, precision, card: path without a kernel of torch's, programs that share the units.
TABLE = [
    ("lstm-peephole", 32, "float32", H100, "generated", 1),
    ("lstm-peephole", 64, "float32", H100, "generated", 1),
    ("lstm-peephole", 64, "float32", A100, "generated", 1),
    ("lstm-peephole", 64, "float32", L4, "generated", 2),
    ("lstm-peephole", 128, "float32", H100, "generated", 4),
    ("lstm-peephole", 128, "tf32", H100, "generated", 2),
    ("lstm-peephole", 256, "float32", H100, "generated", 16),
    ("lstm-peephole", 256, "tf32", H100, "generated", 8),
    ("lstm-peephole", 256, "bf16", H100, "generated", 4),
    ("lstm-peephole", 256, "float32", A100, "reference", None),  # 16 programs are too many
    ("lstm-peephole", 512, "float32", H100, "reference", None),
    ("lstm-peephole", 512, "bf16", H100, "generated", 16),
    ("gru-reset-before", 128, "float32", H100, "generated", 2),
    ("gru-reset-before", 256, "float32", A100, "reference", None),
    ("gru-reset-before", 100, "float32", H100, "generated", 2),  # as many lanes as 128 units
    ("rnn-relu", 256, "float32", A100, "generated", 4),
    ("rnn-indrnn", 256, "float32", A100, "generated", 4),  # no matrix, but registers
    ("rnn-indrnn", 1024, "float32", H100, "generated", 16),
    ("rnn-indrnn", 1, "float32", H100, "generated", 1),
]


@pytest.mark.parametrize(("name", "hidden", "precision", "card", "path", "split"), TABLE)
def test_the_path_follows_from_variant_size_precision_and_card(
    name: str, hidden: int, precision: str, card: Card, path: str, split: int | None
) -> None:
    variant = VARIANTS[name]
    shape = shape_of(variant, hidden, precision, card)
    assert (None if shape is None else shape.split) == split
    assert path_of(variant, hidden, precision, card, torch_has=False, double=False) == path


@pytest.mark.parametrize(
    ("card", "torch_has", "double", "path"),
    [
        (H100, False, False, "generated"),
        (H100, False, True, "reference"),
        (H100, True, False, "torch"),
        (H100, True, True, "torch"),
        (T4, False, False, "reference"),
        (T4, True, False, "torch"),
    ],
)
def test_torchs_kernel_is_first_and_old_cards_and_float64_have_no_generated_one(
    card: Card, torch_has: bool, double: bool, path: str
) -> None:
    variant = VARIANTS["lstm-standard"]
    assert path_of(variant, 32, "float32", card, torch_has=torch_has, double=double) == path


@pytest.mark.parametrize("card", [A100, H100, L4], ids=["A100", "H100", "L4"])
@pytest.mark.parametrize("precision", MATRIX_BYTES)
def test_what_is_launched_fits_on_the_card(precision: str, card: Card) -> None:
    for variant in VARIANTS.values():
        for hidden in (2, 16, 33, 64, 100, 128, 256, 512, 1024):
            shape = shape_of(variant, hidden, precision, card)
            if shape is None:
                continue
            assert shape.split in SPLITS and shape.warps in (2, 4, 8)
            assert 16 <= lanes(hidden) // shape.split <= 64
            assert lanes(variant.width(hidden)) // shape.split >= 16
            assert shape.split * 8 <= card.multiprocessors


def test_every_variant_has_a_generated_kernel_up_to_64_units_on_an_a100() -> None:
    missing = [v.name for v in VARIANTS.values() if shape_of(v, 64, "float32", A100) is None]
    assert missing == []


def test_a_kernel_alone_has_its_products_in_one_go() -> None:
    assert shape_of(VARIANTS["lstm-standard"], 64, "float32", H100) == Shape(1, 1, 8)
    assert shape_of(VARIANTS["lstm-standard"], 256, "float32", H100) == Shape(16, 4, 2)


def test_a_cpu_stands_for_the_card_that_kernels_are_interpreted_for() -> None:
    assert card_of(torch.device("cpu")) == INTERPRETED


def test_the_readme_says_up_to_which_size_cells_have_kernels_on_an_h100() -> None:
    readme = Path(__file__).parents[4].joinpath("trainables", "README.md").read_text()
    table = readme.partition("| cell | float32 | tf32 | bf16 |\n|---|---|---|---|\n")[2]
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    assert len(rows) == 4
    for names, *said in rows:
        for name in names.partition(" (")[0].split(", "):
            found = []
            for precision in MATRIX_BYTES:
                sizes = [(2**n, shape_of(VARIANTS[name], 2**n, precision, H100)) for n in range(12)]
                hidden, shape = [(size, shape) for size, shape in sizes if shape is not None][-1]
                found.append(f"{hidden} ({shape.split})")
            assert found == said, name


def test_the_table_is_read_without_triton() -> None:
    asked = "import sys; sys.modules['triton'] = None; import trainables.engine.gpu.paths"
    subprocess.run([sys.executable, "-c", asked], check=True)

"""Bring torch tensors of every dtype to every ttnn dtype and back."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from tests.fidelity.conversions_compare import BLOCK_FLOATS, DTYPES, RANGES, compare, describe, refuse
from tests.fidelity.conversions_values import FLOATS, KINDS, SOURCES, inside, outside, sample
from tests.fidelity.libraries import Libraries
from tests.fidelity.tally import Row, Tally

__all__ = ["SHAPES", "run"]

SHAPES = (
    (), (1,), (15,), (16,), (17,), (32,), (100,), (0,), (1, 1), (32, 32), (31, 33), (5, 48), (0, 7), (7, 0), (64, 360),
    (3, 1, 1), (2, 33, 17), (4, 0, 32), (1, 2, 40, 72), (2, 3, 1, 65), (1, 1, 32, 0), (2, 1, 3, 5, 7),
    (1, 2, 2, 1, 33, 20),
)  # fmt: skip
"""Ranks 0 to 6, aligned to the tile and not, empty ones among them."""
PAD_VALUES = (None, 0.0, 1.5, -30000.0, float("inf"), 2.0**-130)
PAD_SHAPES = ((5,), (17, 33), (2, 3, 40, 20), (32, 32))
BULK = 1 << 18
WIDTHS = (1024, 360, 1000)


def run(libraries: Libraries, elements: int, seed: int) -> list[Row]:
    """Return a row per torch dtype and ttnn dtype, then one for default dtypes and one for padding values."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for dtype in DTYPES:
        # ttnn makes fp8 of float32 only.
        share = elements if dtype == "fp8_e4m3" else elements // len(SOURCES)
        for source in SOURCES:
            alone = dtype == "fp8_e4m3" and source is not torch.float32
            rows.append(_pair(libraries, source, dtype, 0 if alone else share, generator))
    return [*rows, _defaults(libraries, generator), _padding(libraries, generator)]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _pair(libraries: Libraries, source: torch.dtype, dtype: str, elements: int, generator: torch.Generator) -> Row:
    tally = Tally(f"from_torch: {_name(source)} -> {dtype}")
    for text, numbers in _draws(source, dtype, elements, generator):
        _convert(libraries, tally, text, numbers, dtype, None)
    for layout in ("TILE", "ROW_MAJOR"):
        for shape in SHAPES:
            numbers = _draw(source, dtype, "normal", math.prod(shape), generator).reshape(shape)
            _convert(libraries, tally, f"{list(shape)} in {layout}", numbers, dtype, layout)
    if source in FLOATS and dtype in RANGES:
        for number in outside(source, *RANGES[dtype]):
            refuse(
                libraries,
                tally,
                f"{number.item()}",
                lambda library, number=number: library.from_torch(number.reshape(1), dtype=getattr(library, dtype)),
            )
    return tally.row()


def _draw(source: torch.dtype, dtype: str, kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    if source in FLOATS and dtype in RANGES:
        return inside(source, *RANGES[dtype], count, generator)
    return sample(source, kind, count, generator)


def _draws(
    source: torch.dtype, dtype: str, elements: int, generator: torch.Generator
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors of all kinds of numbers until there are enough, none so large that it fills the memory."""
    share = -(-elements // len(KINDS))
    for index, kind in enumerate(KINDS):
        width = WIDTHS[index % len(WIDTHS)]
        for start in range(0, share, BULK):
            height = -(-min(BULK, share - start) // width)
            numbers = _draw(source, dtype, kind, height * width, generator)
            yield f"{kind} [{height}, {width}]", numbers.reshape(height, width)


def _convert(
    libraries: Libraries, tally: Tally, text: str, numbers: torch.Tensor, dtype: str, layout: str | None
) -> None:
    compare(
        libraries,
        tally,
        text,
        numbers.numel(),
        lambda library: describe(
            library,
            library.from_torch(
                numbers,
                dtype=getattr(library, dtype),
                layout=None if layout is None else getattr(library.Layout, layout),
            ),
        ),
    )


def _defaults(libraries: Libraries, generator: torch.Generator) -> Row:
    tally = Tally("from_torch: the dtype is left open")
    for source in SOURCES:
        if source is torch.float64:
            continue  # the real library aborts the process
        for kind in KINDS:
            numbers = sample(source, kind, 33 * 40, generator).reshape(33, 40)
            compare(
                libraries,
                tally,
                f"{_name(source)}, {kind}",
                numbers.numel(),
                lambda library, numbers=numbers: library.to_torch(library.from_torch(numbers)),
            )
    return tally.row()


def _padding(libraries: Libraries, generator: torch.Generator) -> Row:
    """Padding takes part in the exponents of the blocks that it shares."""
    tally = Tally("from_torch: pad_value")
    for dtype in (*BLOCK_FLOATS, "bfloat16", "float32", "int32"):
        for pad_value in PAD_VALUES:
            for shape in PAD_SHAPES:
                numbers = sample(torch.float32, "ties", math.prod(shape), generator).reshape(shape)
                compare(
                    libraries,
                    tally,
                    f"{dtype}, {list(shape)} padded with {pad_value}",
                    numbers.numel(),
                    lambda library, numbers=numbers, dtype=dtype, pad_value=pad_value: library.to_torch(
                        library.from_torch(
                            numbers, dtype=getattr(library, dtype), layout=library.TILE_LAYOUT, pad_value=pad_value
                        )
                    ),
                )
    return tally.row()

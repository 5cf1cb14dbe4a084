"""Cast host tensors between ttnn dtypes, lay them out anew, and pack tiles as raw bytes."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch

from tests.fidelity.conversions_compare import BLOCK_FLOATS, DTYPES, RANGES, compare, describe
from tests.fidelity.conversions_values import KINDS, SOURCES, inside, sample
from tests.fidelity.libraries import Libraries
from tests.fidelity.tally import Row, Tally

__all__ = ["run"]

SHAPES = ((64, 96), (33, 17), (2, 3, 40, 20), (5,), (0, 32), (1, 1, 32, 32))
LAYOUTS = ("TILE", "ROW_MAJOR")
PACKED = {"bfloat8_b": "bfp8", "bfloat4_b": "bfp4", "bfloat2_b": "bfp2"}
TILE = 1024


def run(libraries: Libraries, elements: int, seed: int) -> list[Row]:
    """Return rows for to_dtype and typecast to each dtype, for to_layout of each, and for each packed format."""
    generator = torch.Generator().manual_seed(seed + 1)
    casts = [_casts(libraries, op, to, elements, generator) for op in ("to_dtype", "typecast") for to in DTYPES]
    layouts = [_layouts(libraries, dtype, generator) for dtype in DTYPES]
    readings = _readings(libraries, generator)
    return [*casts, *layouts, readings, *(_packed(libraries, dtype, elements, generator) for dtype in PACKED)]


def _numbers(dtype: str, to: str, kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return numbers that ``dtype`` holds and that have a defined result in ``to``."""
    if dtype in RANGES:
        return sample(getattr(torch, dtype), kind, count, generator)
    if to not in RANGES:
        return sample(torch.float32, kind, count, generator)
    # A coarser format rounds up past the end of a range, so stay well inside.
    low, high = RANGES[to]
    return inside(torch.float32, low, high, count, generator).clamp(low * 0.75, high * 0.75)


def _held(library: ModuleType, numbers: torch.Tensor, dtype: str, layout: str) -> Any:
    place = "TILE" if dtype in BLOCK_FLOATS else "ROW_MAJOR" if dtype == "fp8_e4m3" else layout
    return library.from_torch(numbers, dtype=getattr(library, dtype), layout=getattr(library.Layout, place))


def _casts(libraries: Libraries, op: str, to: str, elements: int, generator: torch.Generator) -> Row:
    tally = Tally(f"{op} on host -> {to}")
    rows = -(-elements // (len(DTYPES) * len(LAYOUTS) * len(KINDS) * 992))
    for dtype in DTYPES:
        for layout in LAYOUTS:
            cases = [(kind, (32 * -(-rows // 32), 992)) for kind in KINDS] + [("normal", shape) for shape in SHAPES]
            for kind, shape in cases:
                numbers = _numbers(dtype, to, kind, math.prod(shape), generator).reshape(shape)
                compare(
                    libraries,
                    tally,
                    f"from {dtype} in {layout}, {kind} {list(shape)}",
                    numbers.numel(),
                    lambda library, numbers=numbers, dtype=dtype, layout=layout: describe(
                        library, getattr(library, op)(_held(library, numbers, dtype, layout), getattr(library, to))
                    ),
                )
    return tally.row()


def _layouts(libraries: Libraries, dtype: str, generator: torch.Generator) -> Row:
    tally = Tally(f"to_layout on host: {dtype}")
    for layout in LAYOUTS:
        for to in LAYOUTS:
            for shape in SHAPES:
                numbers = _numbers(dtype, "float32", "bits", math.prod(shape), generator).reshape(shape)

                def call(library: ModuleType, numbers: Any = numbers, layout: str = layout, to: str = to) -> Any:
                    held = _held(library, numbers, dtype, layout)
                    return describe(library, library.to_layout(held, getattr(library.Layout, to)))

                compare(libraries, tally, f"{list(shape)} {layout} -> {to}", numbers.numel(), call)
    return tally.row()


def _readings(libraries: Libraries, generator: torch.Generator) -> Row:
    """Ask to_torch for another dtype than the tensor's own."""
    tally = Tally("to_torch: dtype=")
    for dtype in (dtype for dtype in DTYPES if dtype != "fp8_e4m3"):
        for to in SOURCES:
            numbers = _numbers(dtype, "int8", "bits", 33 * 40, generator).reshape(33, 40)
            compare(
                libraries,
                tally,
                f"{dtype} as {to}",
                numbers.numel(),
                lambda library, numbers=numbers, dtype=dtype, to=to: library.to_torch(
                    _held(library, numbers, dtype, "TILE"), dtype=to
                ),
            )
    return tally.row()


def _packed(libraries: Libraries, dtype: str, elements: int, generator: torch.Generator) -> Row:
    """Compare with the packed bytes themselves: ttnn has no name for bfloat2_b, but packs it."""
    from ttemu.dtypes import DataType
    from ttemu.formats import quantise

    tally = Tally(f"pack and unpack tiles: {dtype}")
    utilities = libraries.real._ttnn.bfp_utils
    pack, unpack = (getattr(utilities, f"{verb}_{PACKED[dtype]}") for verb in ("pack", "unpack"))
    tiles = -(-elements // (len(KINDS) * TILE))
    for kind in KINDS:
        numbers = sample(torch.float32, kind, tiles * TILE, generator)

        def call(library: ModuleType, numbers: torch.Tensor = numbers) -> torch.Tensor:
            if library is libraries.emulated:
                return quantise(numbers.reshape(-1, 16), DataType[dtype.upper()]).float().flatten()
            # Already in tile order: a row of a face is a block of 16.
            return torch.from_numpy(unpack(pack(numbers.numpy()))).flatten()

        compare(libraries, tally, kind, numbers.numel(), call)
    return tally.row()

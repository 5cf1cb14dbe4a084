"""Generate calls of matrix products."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fidelity.corpus.placing import TILE, place, spoiled_tensor
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import FLOATS, Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "1x8", "1x1", "2x4", "4x8")
_LINE = ("1x8", "1x8", "1x1")
_OPEN = tuple(f"ttnn.L1_{kind}_SHARDED_MEMORY_CONFIG" for kind in ("WIDTH", "HEIGHT", "BLOCK"))
_KERNEL = "compute_kernel_config=ttnn.WormholeComputeKernelConfig(math_fidelity=ttnn.MathFidelity.HiFi4)"
_ACTIVATIONS = ("relu", "gelu", "silu", "sigmoid")


def _pair(draw: Draw) -> tuple[list[int], list[int]]:
    """Return the shapes of two operands that go together, most often."""
    rows, inner, cols = draw.extent(), draw.extent(), draw.extent()
    batch = draw.shape(2, 5)[:-2]
    first, second = [*batch, rows, inner], [inner, cols]
    kind = draw.one(("same", "same", "one", "one", "ones", "missing", "other", "first"))
    if kind == "same":
        second = [*batch, *second]
    elif kind == "one":
        second = [*[1] * len(batch), *second]
    elif kind == "ones":
        second = [*[1] * draw.between(1, 3), *second]
    elif kind == "other":
        second = [*[draw.one((1, 2, 3)) for _ in range(draw.between(1, 3))], *second]
    elif kind == "first":
        first, second = [*[1] * len(batch), rows, inner], [*batch, *second]
    if draw.chance(8):
        second[-2] = draw.extent()
    return first, second


def _operands(draw: Draw, first: Sequence[int], second: Sequence[int], sharded: int = 0) -> tuple[str, str]:
    """Return two tensors, one of them now and then of a kind that no product takes."""
    fault = draw.one(("rows", "rows", "whole", "whole", "spoiled")) if draw.chance(14) else ""
    # The real library counts the tiles of a left operand in rows before it looks at its layout.
    at = 1 if fault == "rows" else draw.between(0, 1)
    if fault == "rows" and (len(second) == 1 or any(extent % TILE for extent in second[-2:])):
        fault = ""
    layouts = ["RM" if fault == "rows" and at == side else "TL" for side in range(2)]
    dtypes = [draw.floating(), draw.floating()]
    if fault == "whole" or layouts[at] == "RM":
        dtypes[at] = draw.one(("U16", "U32", "I32")) if fault == "whole" else "B16"
    drawn = [
        draw.tensor(shape, dtype=dtype, layout=layout, place=place(draw, shape, sharded))
        for shape, dtype, layout in zip((first, second), dtypes, layouts, strict=True)
    ]
    if fault == "spoiled":
        drawn[at] = spoiled_tensor(draw, drawn[at])
    return drawn[0], drawn[1]


def _options(draw: Draw) -> str:
    return draw.options(
        (20, f"dtype={draw.one(FLOATS)}"),
        (12, _KERNEL),
        (10, f"activation='{draw.one(_ACTIVATIONS)}'"),
        (3, "foo=1"),
    )


def _place(draw: Draw) -> str:
    """Return where the product goes, or which cores make it."""
    grid = f"core_grid=ttnn.CoreGrid(y={draw.between(1, 7)}, x={draw.between(1, 8)})"
    if draw.chance(10):
        return draw.one((f", {grid}", f", {grid}, memory_config=L1"))
    return draw.options((30, f"memory_config={draw.one(('L1', 'L1', 'DRAM', *_OPEN))}"))


@generates("matmul", cases=170, meshes=_MESHES)
def _matmul(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    first, second = _pair(draw)
    flips = draw.options((8, "transpose_a=True"), (10, "transpose_b=True"))
    if "transpose_a" in flips:
        first[-2:] = first[:-3:-1]
    if "transpose_b" in flips:
        second[-2:] = second[:-3:-1]
    vector = draw.one(("left", "right")) if draw.chance(10) and not flips else ""
    if vector:
        first, second = (first[-1:], second) if vector == "left" else (first, second[-2:-1])
    left, right = _operands(draw, first, second)
    where = draw.options((30, "memory_config=L1")) if vector else _place(draw)
    return f"ttnn.{name}({left}, {right}{flips}{where}{_options(draw)})"


@generates("linear", cases=130, meshes=_MESHES)
def _linear(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    first, second = _pair(draw)
    left, right = _operands(draw, first, second)
    cols = second[-1]
    bias = draw.one(([cols], [1, cols], [1, 1, cols], [1, 1, 1, cols], [cols + 1], [1, 1, 2, cols], [1, 1]))
    given = f", bias={draw.tensor(bias, dtype=draw.floating())}" if draw.chance(70) else ""
    return f"ttnn.{name}({left}, {right}{given}{_place(draw)}{_options(draw)})"


@generates("experimental.minimal_matmul", cases=60, meshes=_LINE)
def _minimal(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    first, second = _pair(draw)
    cols = second[-1]
    if draw.chance(70):
        second[:-2] = [1] * len(second[:-2])
    # Blocks of float32 do not fit L1 in their default size.
    left, right = (
        text.replace("dt=F32", "dt=B16").replace("host=True", "mc=L1") for text in _operands(draw, first, second)
    )
    bias = draw.one(([cols], [1, cols], [1, 1, 1, cols], [cols + 1]))
    blocks = ", ".join(f"{side}_block_size={draw.one((1, 2, 4))}" for side in "MKN")
    config = (
        f"config=ttnn.MinimalMatmulConfig({blocks}, subblock_h=1, subblock_w=1, "
        f"compute_with_storage_grid_size=ttnn.CoreCoord({draw.between(2, 8)}, {draw.between(2, 7)}))"
    )
    options = draw.options(
        (35, f"bias_tensor={draw.tensor(bias, dtype=draw.floating())}"),
        (40, config),
        (15, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (15, f"dtype={draw.one(FLOATS)}"),
    )
    return f"ttnn.{name}({left}, {right}{options})"

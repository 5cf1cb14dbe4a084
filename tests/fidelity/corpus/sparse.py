"""Generate calls of products whose pairs a sparsity tensor selects."""

from __future__ import annotations

from tests.fidelity.corpus.placing import spoiled_tensor
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_MESHES = ("1x8", "1x8", "1x1", "2x4", "4x8")
_FAULTS = (
    "inner",
    "rows",
    "whole",
    "volume",
    "tiles",
    "nnz",
    "grid",
    "block",
    "batch",
    "spoiled",
    "missing",
    "neither",
)


def _tiles(extent: int) -> int:
    return -(-extent // 32)


@generates("sparse_matmul", cases=170, meshes=_MESHES)
def _sparse(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    kind = draw.one(("b", "b", "b", "a", "both"))
    fault = draw.one(_FAULTS) if draw.chance(28) else ""
    experts, tokens = draw.one((2, 4, 8)), draw.one((1, 1, 2, 4))
    rows, inner, cols = draw.one((1, 8, 32, 33, 64)), draw.one((32, 64, 96, 40)), draw.one((32, 64, 128, 256, 90))
    first = [1, tokens, rows, inner] if kind == "b" else [1, experts, rows, inner]
    second = [1, experts, inner, cols]
    if kind == "b" and draw.chance(10):
        first = first[1:]
    pairs = tokens * experts if kind == "b" else experts
    if fault == "inner":
        second[-2] += 32
    elif fault == "batch":
        second[1] += 1
    pairs += fault == "volume"
    left = draw.tensor(
        first, dtype="U32" if fault == "whole" else draw.floating(), layout="RM" if fault == "rows" else "TL"
    )
    left = left.replace("dt=B8, la=RM", "la=RM").replace("dt=B4, la=RM", "la=RM")
    left = spoiled_tensor(draw, left, ("host", "number")) if fault == "spoiled" else left
    right = draw.tensor(second, dtype=draw.floating())
    mask = draw.tensor([1, 1, 1, pairs], layout="TL" if fault == "tiles" else "RM")
    count = pairs + 1 if fault == "nnz" else pairs
    nnz = f", nnz={count}" if fault == "nnz" or draw.chance(60) else ""
    flags = {"b": "", "a": ", is_input_a_sparse=True, is_input_b_sparse=False", "both": ", is_input_a_sparse=True"}[
        kind
    ]
    if fault == "neither":
        flags = ", is_input_a_sparse=False, is_input_b_sparse=False"
    config = "" if fault == "missing" else f", program_config={_program(draw, rows, cols, fault)}"
    options = draw.options(
        (20, f"dtype={draw.floating()}"),
        (25, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (20, "output_tile=ttnn.Tile([32, 32])"),
    )
    return f"ttnn.{name}({left}, {right}, sparsity={mask}{nnz}{flags}{config}{options})"


def _program(draw: Draw, rows: int, cols: int, fault: str) -> str:
    """Return a program config whose cores with work fill a rectangle, unless they are spoiled."""
    wide = _tiles(cols)
    each = draw.one([size for size in (1, 2, 4, 8) if wide % size == 0 and wide // size * _tiles(rows) <= 8])
    cores = wide // each * _tiles(rows)
    grid = draw.one([(cores, 1), (cores, draw.between(1, 3)), (1, cores)] if cores <= 7 else [(cores, 1)])
    if fault == "grid":
        grid = (draw.one((1, 3, 5)), draw.one((1, 2)))
    out = f", {draw.one((3, 5))}" if fault == "block" else draw.one(("", "", f", {each}"))
    return f"PC({each}, {grid[0]}, {grid[1]}{out})"

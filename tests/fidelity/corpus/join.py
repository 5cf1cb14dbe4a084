"""Generate calls that put tensors together or take them apart."""

from __future__ import annotations

from tests.fidelity.corpus.placing import anything, place, spoiled_tensor
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_ON_HOST = ("host", "host", "number")
_LINE = ("1x8", "1x8", "1x1")


@generates("concat", cases=120, meshes=(*_LINE, "2x4"))
def _concat(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1)
    dtype, layout = draw.dtype(), draw.layout(25)
    parts = []
    for _ in range(draw.one((1, 2, 2, 2, 3, 4))):
        extents = list(shape)
        extents[dim] = draw.extent() if draw.chance(60) else extents[dim]
        parts.append(
            draw.tensor(
                extents, dtype=dtype, layout="TL" if dtype in {"B8", "B4"} else layout, place=place(draw, extents)
            )
        )
    fault = (
        draw.one(("dim", "rank", "extent", "dtype", "layout", "empty", "input", "groups")) if draw.chance(28) else ""
    )
    if fault == "dim":
        dim = draw.one((rank, -rank - 1))
    elif fault == "rank":
        parts.append(draw.tensor([1, *shape], dtype=dtype))
    elif fault == "extent":
        parts.append(draw.tensor([extent + 1 for extent in shape], dtype=dtype))
    elif fault == "dtype":
        parts.append(draw.tensor(shape, dtype=draw.dtype()))
    elif fault == "layout":
        parts.append(draw.tensor(shape, layout="RM"))
    elif fault == "empty":
        parts = []
    elif fault == "input":
        parts[0] = spoiled_tensor(draw, parts[0], ("number", "number", "number", "host"))
    listed = f"[{', '.join(parts)}]" if draw.chance(85) else f"({', '.join(parts)},)" if parts else "()"
    form = draw.one((f", {dim}", f", dim={dim}", f", dim={dim}"))
    groups = f", groups={draw.one((0, 1))}" if fault == "groups" else ""
    return f"ttnn.{name}({listed}{form}{groups}{draw.options((12, 'memory_config=L1'))})"


@generates("split", cases=80, meshes=_LINE)
def _split(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1)
    extent = shape[dim]
    size = draw.one([part for part in (1, 2, 5, 20, 32, 40, 64, extent, extent + 7) if extent <= 8 * part])
    first = draw.between(0, extent)
    lists = ([first, extent - first], [extent], [first, extent - first + 1], [], [first, 0, extent - first])
    form = str(draw.one((size, size, size, *lists))) if draw.chance(92) else draw.one(("0", "-1", "2.5"))
    if draw.chance(6):
        dim = draw.one((rank, -rank - 1))
    last = draw.one((f", {dim}", f", dim={dim}", f", dim={dim}", ""))
    tensor = anything(draw, shape, faults=("number", "number", "number", "host"))
    return f"ttnn.{name}({tensor}, {form}{last}{draw.options((10, 'memory_config=L1'))})"


@generates("chunk", cases=60)
def _chunk(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1) if draw.chance(92) else draw.one((rank, rank + 1))
    count = draw.one((1, 2, 2, 3, 4, 8)) if draw.chance(92) else draw.one((0, -1))
    form = draw.one((f"{count}, {dim}", f"{count}, dim={dim}", f"chunks={count}, dim={dim}"))
    return f"ttnn.{name}({anything(draw, shape, faults=_ON_HOST)}, {form})"

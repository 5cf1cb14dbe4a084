"""Generate calls that give a tensor another shape or order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.fidelity.corpus.placing import anything
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_NOT_DEAD = ("host", "number")
_NO_TENSOR = ("number",)
_MOSTLY_LINE = ("1x8", "1x8", "1x8", "1x1", "2x4")


def _regrouped(draw: Draw, shape: Sequence[int]) -> list[int]:
    """Return another shape of the same volume."""
    if len(shape) > 1 and draw.chance(35):
        at = draw.between(0, len(shape) - 2)
        return [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
    if draw.chance(30):
        return [*[1] * draw.between(1, 2), *shape]
    volume, target = math.prod(shape), []
    for _ in range(draw.between(0, 3)):
        divisor = draw.one([size for size in (1, 2, 3, 4, 5, 8, 16, 31, 32, 64) if volume % size == 0])
        target.append(divisor)
        volume //= divisor
    target.insert(draw.between(0, len(target)), volume)
    return target


def _padded(draw: Draw) -> str:
    """Return a call with a padded shape besides."""
    rows, cols = draw.one((1, 8, 31, 32, 33)), draw.one((32, 64, 40))
    tall, wide = -(-rows // 32) * 32, -(-cols // 32) * 32
    logical, padded = [1, 1, rows, cols], [1, 1, tall, wide]
    if rows <= 32 and draw.chance(40):
        logical[2] = draw.one((1, 4, 32))
    layout = draw.layout(20)
    if layout == "RM":
        padded = logical
    elif draw.chance(15):
        padded[2] += 32
    return f"ttnn.reshape({draw.tensor([1, 1, rows, cols], layout=layout)}, {logical}, {padded})"


@generates("reshape", cases=130, meshes=_MOSTLY_LINE)
def _reshape(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    if draw.chance(20):
        return _padded(draw)
    shape = draw.shape(1, 5)
    target = _regrouped(draw, shape)
    if draw.chance(20):
        target[draw.between(0, len(target) - 1)] = -1
    forms = [f"({', '.join(map(str, target))},)", str(target), f"ttnn.Shape({target})"]
    if draw.chance(10):
        target[draw.between(0, len(target) - 1)] = draw.one((-1, 3, 7, 0))
        forms = [f"({', '.join(map(str, target))},)", str(target)]
    form = draw.one(forms)
    text = draw.one((form, form, f"shape={form}"))
    options = draw.options((8, "memory_config=L1"), (3, "foo=1"), (5, "pad_value=0.0"))
    return f"ttnn.{name}({anything(draw, shape, faults=_NOT_DEAD)}, {text}{options})"


@generates("Tensor.reshape", cases=15)
def _method(draw: Draw, mesh: str, name: str) -> str:
    del mesh, name
    shape = draw.shape(1, 4)
    target = _regrouped(draw, shape)
    form = draw.one((str(target), f"ttnn.Shape({target})", ", ".join(map(str, target))))
    return f"{draw.tensor(shape, dtype=draw.dtype(), host=15)}.reshape({form})"


@generates("squeeze", cases=40)
def _squeeze(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5, front=(1, 1, 1, 2, 3))
    rank = len(shape)
    dims = [draw.between(-rank, rank - 1) for _ in range(2)]
    form = draw.one((f", {dims[0]}", f", dim={dims[0]}", f", {dims}", f", {tuple(dims)}", "", f", {rank + 1}", ", []"))
    return f"ttnn.{name}({anything(draw, shape, faults=_NOT_DEAD)}{form})"


@generates("unsqueeze", cases=40)
def _unsqueeze(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    rank = len(shape)
    dim = draw.between(-rank - 1, rank) if draw.chance(85) else draw.one((rank + 1, rank + 3, -rank - 2))
    return f"ttnn.{name}({anything(draw, shape)}, {draw.one(('', 'dim='))}{dim})"


@generates("unsqueeze_to_4D", cases=25)
def _to_rank_4(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    return f"ttnn.{name}({anything(draw, draw.shape(1, 5 if draw.chance(30) else 4), faults=_NOT_DEAD)})"


@generates("transpose", cases=110, meshes=_MOSTLY_LINE)
def _transpose(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 5)
    rank = len(shape)
    first, second = draw.some([dim - rank * draw.chance(40) for dim in range(rank)], 2)
    if draw.chance(8):
        second = draw.one((rank, rank + 2, -rank - 1, first))
    options = draw.options((12, "memory_config=L1"), (5, "pad_value=0.0"), (3, "foo=1"))
    form = draw.one((f"{first}, {second}", f"{first}, {second}", f"dim1={first}, dim2={second}"))
    return f"ttnn.{name}({anything(draw, shape)}, {form}{options})"


@generates("permute", cases=130, meshes=_MOSTLY_LINE)
def _permute(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 5)
    rank = len(shape)
    order = draw.some(range(rank), rank)
    if draw.chance(15):
        order = [dim - rank for dim in order]
    fault = draw.one(("short", "long", "outside")) if draw.chance(15) else ""
    if fault == "short" and rank > 1:
        order.pop()
    elif fault == "long":
        order.append(draw.between(0, rank))
    elif fault == "outside":
        order[0] = draw.one((rank, -rank - 1))
    form = draw.one((str(order), f"({', '.join(map(str, order))},)", f"dims={order}"))
    options = draw.options((12, "memory_config=L1"), (5, "pad_value=0.0"))
    return f"ttnn.{name}({anything(draw, shape)}, {form}{options})"


@generates("repeat", cases=80)
def _repeat(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(1, 4)
    rank = len(shape) if draw.chance(70) else draw.between(1, 5)
    counts = [draw.one((1, 1, 1, 2, 3)) for _ in range(rank)]
    if draw.chance(8):
        counts[draw.between(0, rank - 1)] = draw.one((0, -1))
    form = draw.one(
        (str(counts), f"ttnn.Shape({counts})", f"repeat_dims={counts}", f"({', '.join(map(str, counts))},)")
    )
    options = draw.options(
        (12, "memory_config=L1"),
    )
    return f"ttnn.{name}({anything(draw, shape, faults=_NO_TENSOR)}, {form}{options})"


@generates("repeat_interleave", cases=50)
def _repeat_interleave(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    shape = draw.shape(2, 4)
    rank = len(shape)
    dim = draw.between(-rank, rank - 1) if draw.chance(90) else draw.one((rank, -rank - 1))
    count = draw.one((1, 2, 3, 3)) if draw.chance(92) else draw.one((0, -1))
    form = draw.one((f"{count}, {dim}", f"{count}, dim={dim}", f"repeats={count}, dim={dim}"))
    return f"ttnn.{name}({anything(draw, shape, faults=_NO_TENSOR)}, {form}{draw.options((10, 'memory_config=L1'))})"

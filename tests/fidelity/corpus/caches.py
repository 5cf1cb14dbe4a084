"""Generate calls that write keys and values into caches."""

from __future__ import annotations

from tests.fidelity.corpus.faults import TENSOR_FAULTS, Fault, pick
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_KINDS = ("B16", "B16", "B8", "B4", "F32")


def _keyword(fault: Fault) -> str:
    return ", batch=1" if fault == "keyword" else ""


@generates("experimental.paged_update_cache", cases=110)
def _update_paged(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    faults = (*TENSOR_FAULTS, "batch", "width", "index", "keyword", "both", "neither", "interleaved", "table", "heads")
    fault = pick(draw, faults, 4)
    batch, heads, width = draw.one((1, 8, 8, 16)), draw.one((1, 1, 2, 4)), draw.one((32, 64, 64))
    paged, length = draw.chance(50), draw.one((32, 64, 64, 128))
    blocks = 4 * batch
    front = blocks if paged else batch + (fault == "batch")
    given = [1, batch, heads, width * 2 if fault == "width" else width]
    place = "" if fault == "interleaved" else f"HS(32, {given[-1]}, {batch})"
    kind = draw.one(("B16", "B16", "B16", "F32"))
    cache = fault.tensor(draw, 0, [front, heads * 2 if fault == "heads" else heads, length, width], dt=draw.one(_KINDS))
    tensors = [cache, fault.tensor(draw, 1, given, dt=kind, mc=place)]
    options = _places(draw, fault, batch)
    if paged:
        rows = batch + (fault == "table")
        options += f", page_table={fault.tensor(draw, 3, [rows, 4], dt='I32', la='RM')}"
    options += draw.options((12, f"share_cache={draw.one(('False', 'True'))}"), (5, "batch_offset=0"))
    return f"ttnn.{name}({', '.join(tensors)}{options}{_keyword(fault)})"


def _places(draw: Draw, fault: Fault, batch: int) -> str:
    listed = f", update_idxs={[draw.between(0, 31) for _ in range(batch)]}"
    count = batch + 1 if fault == "index" else batch
    tensor = f", update_idxs_tensor={fault.tensor(draw, 2, [count], dt='I32', la='RM')}"
    if fault == "both":
        return listed + tensor
    if fault == "neither":
        return ""
    return listed if draw.chance(30) and fault.name != "index" else tensor


@generates("experimental.paged_fill_cache", cases=70)
def _fill_paged(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "row", "length", "width", "heads", "keyword", "mixed"), 3)
    heads, width, block, pages = draw.one((1, 1, 2, 4)), draw.one((32, 64)), draw.one((32, 64, 64)), draw.one((2, 4))
    kind = draw.one(_KINDS)
    other = "F32" if kind == "B16" else "B16"
    rows = draw.one((1, 2, 8))
    length = block * pages + 32 if fault == "length" else draw.one((32, block, block * pages, 40))
    given = [1, heads * 2 if fault == "heads" else heads, length, width * 2 if fault == "width" else width]
    tensors = [
        fault.tensor(draw, 0, [16, heads, block, width], dt=kind),
        fault.tensor(draw, 1, given, dt=other if fault == "mixed" else kind),
        fault.tensor(draw, 2, [rows, pages], dt="I32", la="RM"),
    ]
    row = draw.one((rows, -1)) if fault == "row" else draw.between(0, rows - 1)
    options = f", batch_idx={row}" if row or draw.chance(60) else ""
    if fault.name == "" and draw.chance(20):
        kind = draw.one(("I32", "U32"))
        options = f", batch_idx_tensor=T(1, dt={kind}, la=RM)"
    return f"ttnn.{name}({', '.join(tensors)}{options}{_keyword(fault)})"


@generates("fill_cache", cases=50)
def _fill(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "row", "length", "width", "heads", "keyword", "mixed", "start"), 2)
    users, heads, width, length = draw.one((1, 4)), draw.one((1, 2, 4)), draw.one((32, 64)), draw.one((64, 128))
    kind = draw.one(_KINDS)
    other = "F32" if kind == "B16" else "B16"
    filled = length + 32 if fault == "length" else draw.one((5, 32, 64, length))
    given = [1, heads * 2 if fault == "heads" else heads, filled, width * 2 if fault == "width" else width]
    tensors = [
        fault.tensor(draw, 0, [users, heads, length, width], dt=kind),
        fault.tensor(draw, 1, given, dt=other if fault == "mixed" else kind),
    ]
    row = draw.one((users, -1)) if fault == "row" else draw.between(0, users - 1)
    where = draw.one((f"{row}", f"batch_idx={row}"))
    start = draw.one((5, 128)) if fault == "start" else draw.one((0, length - 64))
    options = f", update_idx={start}" if fault == "start" or draw.chance(20) else ""
    return f"ttnn.{name}({', '.join(tensors)}, {where}{options}{_keyword(fault)})"


@generates("update_cache", cases=50)
def _update(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "place", "users", "width", "heads", "keyword"), 2)
    users, heads, width, length = draw.one((1, 8, 8, 32)), draw.one((1, 2, 4)), draw.one((32, 64)), draw.one((64, 128))
    rows = draw.one((1, 5)) if fault == "users" else 32
    given = [1, heads * 2 if fault == "heads" else heads, rows, width * 2 if fault == "width" else width]
    tensors = [
        fault.tensor(draw, 0, [users, heads, length, width], dt=draw.one(_KINDS)),
        fault.tensor(draw, 1, given, dt=draw.one(("B16", "B16", "F32", "B8"))),
    ]
    at = -draw.one((1, 1, 32)) if fault == "place" else draw.between(0, length - 1)
    where = draw.one((f"{at}", f"update_idx={at}"))
    options = draw.options((25, f"batch_offset={draw.one((0, 8, 24, 32))}"))
    return f"ttnn.{name}({', '.join(tensors)}, {where}{options}{_keyword(fault)})"

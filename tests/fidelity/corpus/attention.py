"""Generate calls of attention."""

from __future__ import annotations

from tests.fidelity.corpus.faults import TENSOR_FAULTS, Fault, pick
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_KINDS = ("B16", "B16", "B16", "B8", "B4")


def _config(q: int, k: int, cols: int = 8, rows: int = 4) -> str:
    grid = f"compute_with_storage_grid_size=ttnn.CoreCoord({cols}, {rows})"
    return f"ttnn.SDPAProgramConfig({grid}, q_chunk_size={q}, k_chunk_size={k}, exp_approx_mode=False)"


def _keyword(fault: Fault) -> str:
    return ", dropout=0.1" if fault == "keyword" else ""


@generates("transformer.scaled_dot_product_attention", cases=120)
def _prefill(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    faults = (
        *TENSOR_FAULTS,
        "groups",
        "batch",
        "width",
        "length",
        "keyword",
        "both",
        "mask",
        "sink",
        "chunk",
        "values",
    )
    fault = pick(draw, faults, 3)
    heads, group = draw.one((2, 4, 8)), draw.one((1, 2, 4))
    kv_heads = 3 if fault == "groups" else max(heads // group, 1)
    batch, width, length = draw.one((1, 1, 2)), draw.one((32, 64, 64)), draw.one((32, 64, 100, 128))
    causal = draw.chance(60) or fault == "length"
    keys = length if causal and fault.name != "length" else draw.one((32, 64, 160))
    front = batch + 1 if fault == "batch" else batch
    kind = draw.one(_KINDS)
    wide = width * 2 if fault == "width" else width
    shapes = ([batch, heads, length, width], [front, kv_heads, keys, wide], [front, kv_heads, keys, wide])
    if fault == "values":
        shapes[2][draw.between(1, 3)] *= 2
    tensors = [fault.tensor(draw, number, shape, dt=kind) for number, shape in enumerate(shapes)]
    options = "" if causal and draw.chance(50) else f", is_causal={causal}"
    options += _mask(draw, fault, causal=causal, shape=[batch, heads, length, keys])
    sink = draw.one(([1, 1, 1, heads], [heads, 1], [1, heads, 32, 1])) if fault == "sink" else [1, heads, 1, 1]
    chunks = draw.one(((48, 32), (32, 16), (0, 32))) if fault == "chunk" else draw.one(((32, 32), (64, 64), (32, 128)))
    options += draw.options(
        (100 if fault == "sink" else 20, f"attention_sink=T({', '.join(map(str, sink))})"),
        (20, f"sliding_window_size={draw.one((1, 16, 32, 64, 1000))}"),
        (25, f"scale={draw.one((1.0, 0.125))}"),
        (15, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (100 if fault == "chunk" else 20, f"program_config={_config(*chunks)}"),
    )
    return f"ttnn.{name}({', '.join(tensors)}{options}{_keyword(fault)})"


def _mask(draw: Draw, fault: Fault, *, causal: bool, shape: list[int]) -> str:
    """Return a mask where the call may have one, or must not."""
    if fault == "both" or (not causal and (fault == "mask" or draw.chance(60))):
        shape = [draw.one((1, shape[0])), draw.one((1, shape[1])), *shape[2:]]
        if fault == "mask":
            shape[draw.between(0, 3)] += 32
        kind = draw.one(("U16", "F32", "B4", "B8")) if fault == "mask" and draw.chance(40) else "B16"
        return f", attn_mask={draw.tensor(shape, dtype=kind)}"
    return ""


@generates("transformer.scaled_dot_product_attention_decode", cases=130)
def _decode(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    faults = (*TENSOR_FAULTS, "groups", "batch", "width", "length", "keyword", "both", "positions", "sink", "neither")
    fault = pick(draw, (*faults, "sharded", "mask"), 3)
    heads, kv_heads = draw.one((2, 4, 8, 8)), draw.one((1, 1, 2))
    batch, width = draw.one((1, 8, 8)), draw.one((32, 64, 64))
    keys = draw.one((200, 100, 33)) if fault == "length" else draw.one((32, 64, 64, 128, 256))
    kv_heads = 3 if fault == "groups" else kv_heads
    front = batch + 1 if fault == "batch" else batch
    wide = width * 2 if fault == "width" else width
    kind = draw.one(_KINDS)
    place = f"HS(32, {width}, {batch})" if draw.chance(20) else ""
    first = "B16" if kv_heads > 1 and draw.chance(85) else draw.one(("B16", "B16", "B8"))
    tensors = [
        fault.tensor(draw, 0, [1, batch, heads, width], dt=first, mc=place),
        *(fault.tensor(draw, number, [front, kv_heads, keys, wide], dt=kind) for number in (1, 2)),
    ]
    causal = draw.chance(85) or fault == "neither"
    options = "" if causal else ", is_causal=False"
    if fault == "both" or (not causal and draw.chance(60)):
        wide = keys * 2 if fault == "mask" and draw.chance(50) else keys
        rows = heads + (fault == "mask" and wide == keys)
        options += f", attn_mask=T(1, {batch}, {rows}, {wide})"
    if causal and fault.name != "neither":
        options += _positions(draw, fault, batch, keys)
    return f"ttnn.{name}({', '.join(tensors)}{options}{_decode_options(draw, fault, heads, width, batch)})"


def _positions(draw: Draw, fault: Fault, batch: int, keys: int, *, listed: bool = True) -> str:
    count = draw.one((batch + 1, max(batch - 1, 0))) if fault == "positions" else batch
    if listed and draw.chance(35):
        return f", cur_pos={[draw.between(0, min(keys, 32) - 1) for _ in range(count)]}"
    # Without a page table the real library reads whatever lies there, and as whatever it is.
    kinds, least = (("U32",), batch) if listed else (("U32", "U16", "B16"), 1)
    kind = draw.one(kinds) if fault == "positions" and draw.chance(50) else "I32"
    return f", cur_pos_tensor=T({max(count, least)}, dt={kind}, la=RM)"


def _decode_options(draw: Draw, fault: Fault, heads: int, width: int, batch: int) -> str:
    sink = draw.one(([1, heads, 1, 1], [heads, 1], [heads + 1, 32])) if fault == "sink" else [heads, 32]
    sharded = draw.chance(70) if fault == "sharded" else draw.chance(8)
    place = f"HS(32, {width}, {batch})" if sharded else draw.one(("L1", "DRAM"))
    chosen = draw.one(((0, 0), (0, 32), (32, 64), (0, 128)))
    return draw.options(
        (100 if fault == "sink" else 25, f"attention_sink=T({', '.join(map(str, sink))})"),
        (20, f"sliding_window_size={draw.one((1, 16, 64, 1000))}"),
        (30, f"scale={draw.one((1.0, 0.125))}"),
        (25, f"memory_config={place}"),
        (20, f"program_config={_config(*chosen, 8, 7)}"),
    ) + _keyword(fault)


@generates("transformer.paged_scaled_dot_product_attention_decode", cases=100)
def _paged(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    faults = (*TENSOR_FAULTS, "groups", "width", "keyword", "positions", "sink", "neither", "table", "sharded", "both")
    fault = pick(draw, faults, 4)
    heads, kv_heads = draw.one((2, 4, 8, 8)), 3 if fault == "groups" else draw.one((1, 1, 2))
    batch, width, block = draw.one((1, 8, 8)), draw.one((32, 64, 64)), draw.one((32, 64, 64))
    wide = width * 2 if fault == "width" else width
    kind = draw.one(_KINDS)
    place = f"HS(32, {width}, {batch})" if draw.chance(20) else ""
    rows = batch + 1 if fault == "table" else batch
    tensors = [
        fault.tensor(draw, 0, [1, batch, heads, width], mc=place),
        *(fault.tensor(draw, number, [batch * 2, kv_heads, block, wide], dt=kind) for number in (1, 2)),
    ]
    table = fault.tensor(draw, 3, [rows, 2], dt="I32", la="RM")
    tensors.append(draw.one((table, f"page_table_tensor={table}")))
    options = "" if fault == "neither" else _positions(draw, fault, batch, 2 * block, listed=False)
    if fault == "both":
        options += f", attn_mask=T(1, {batch}, {heads}, {2 * block})"
    if draw.chance(8):
        options = draw.one(("", f", attn_mask=T(1, {batch}, {heads}, {2 * block})")) + ", is_causal=False"
    return f"ttnn.{name}({', '.join(tensors)}{options}{_decode_options(draw, fault, heads, width, batch)})"


@generates("transformer.chunked_scaled_dot_product_attention", cases=60)
def _chunked(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    faults = (*TENSOR_FAULTS, "groups", "width", "keyword", "start", "table", "neither", "both", "sink")
    fault = pick(draw, faults, 4)
    heads, kv_heads = draw.one((2, 4, 8)), 3 if fault == "groups" else draw.one((1, 2))
    batch, width, block, length = draw.one((1, 1, 2)), draw.one((32, 64)), draw.one((32, 64)), draw.one((32, 64, 128))
    wide = width * 2 if fault == "width" else width
    rows = batch + 1 if fault == "table" else batch
    tensors = [
        fault.tensor(draw, 0, [batch, heads, length, width], dt=draw.one(_KINDS)),
        *(fault.tensor(draw, number, [16, kv_heads, block, wide], dt=draw.one(("B16", "B8"))) for number in (1, 2)),
        fault.tensor(draw, 3, [rows, draw.one((4, 8))], dt="I32", la="RM"),
    ]
    start = draw.one((5, -32, 1000)) if fault == "start" else draw.one((0, 32, 64))
    where = draw.one((f", {start}", f", chunk_start_idx={start}"))
    tensor = ", chunk_start_idx_tensor=T(1, dt=I32, la=RM)"
    if fault == "neither":
        where = ""
    elif fault == "both":
        where += tensor
    elif not fault.name and draw.chance(25):
        where = tensor
    sink = [heads, 1] if fault == "sink" else [1, heads, 1, 1]
    options = draw.options(
        (100 if fault == "sink" else 20, f"attention_sink=T({', '.join(map(str, sink))})"),
        (20, f"sliding_window_size={draw.one((16, 64))}"),
        (25, f"scale={draw.one((1.0, 0.125))}"),
        (15, f"memory_config={draw.one(('L1', 'DRAM'))}"),
        (25, f"program_config={_config(32, 32)}"),
    )
    return f"ttnn.{name}({', '.join(tensors)}{where}{options}{_keyword(fault)})"

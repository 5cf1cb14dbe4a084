"""Generate calls that cut projections into heads, join heads and rotate them."""

from __future__ import annotations

from tests.fidelity.corpus.faults import TENSOR_FAULTS, pick
from tests.fidelity.corpus.registry import generates
from tests.fidelity.draw import Draw

__all__: list[str] = []

_PLACES = ("L1", "DRAM")
_SHARDED = ("ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG", "ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG")


def _tail(draw: Draw, fault: object, *candidates: tuple[int, str]) -> str:
    wrong = draw.one((", heads=3", ", head_dim=64")) if fault == "keyword" else ""
    return draw.options(*candidates) + wrong


@generates("experimental.nlp_create_qkv_heads", cases=80)
def _create(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "width", "second", "keyword", "sharded"), 2)
    heads, group, width = draw.one((1, 2, 4, 8)), draw.one((1, 1, 2, 4)), draw.one((32, 64, 64))
    kv_heads = max(heads // group, 1)
    batch, length = draw.one((1, 1, 1, 2)), draw.one((1, 32, 32, 64, 100))
    apart, tied = draw.chance(25), draw.chance(10)
    total = heads + (0 if apart else (1 if tied else 2) * kv_heads)
    shape = [batch, 2 if fault == "second" else 1, length, total * width + 32 * (fault == "width" and 32 % total > 0)]
    kind = draw.one(("B16", "B16", "B8", "F32"))
    place = "WS(32, 64, 4)" if fault == "sharded" else draw.one(("", "", "L1"))
    tensors = [fault.tensor(draw, 0, shape, dt=kind, mc=place)]
    if apart:
        tensors.append(fault.tensor(draw, 1, [batch, 1, length, (1 if tied else 2) * kv_heads * width], dt=kind))
    options = _tail(
        draw,
        fault,
        (75, f"transpose_k_heads={draw.one(('False', 'False', 'True'))}"),
        (20, f"memory_config={draw.one((*_PLACES, *_PLACES, *_SHARDED))}"),
    )
    kv = "" if kv_heads == heads and draw.chance(50) else f", num_kv_heads={kv_heads}"
    return f"ttnn.{name}({', '.join(tensors)}, num_heads={heads}{kv}{', kv_tied=True' * tied}{options})"


@generates("experimental.nlp_create_qkv_heads_decode", cases=70)
def _create_decode(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "width", "front", "keyword", "batch"), 1)
    heads, kv_heads, width = draw.one((2, 4, 8, 16)), draw.one((1, 1, 2)), draw.one((32, 64, 64, 128))
    batch = draw.one((33, 56, 57, 64)) if fault == "batch" else draw.one((1, 8, 8, 16, 32))
    total = (heads + 2 * kv_heads) * width
    shape = [
        1,
        2 if fault == "front" else 1,
        batch,
        total + 32 * (fault == "width" and 32 % (heads + 2 * kv_heads) > 0),
    ]
    place = f"WS(32, {total // (heads + 2 * kv_heads)}, {heads + 2 * kv_heads})" if draw.chance(30) else ""
    tensor = fault.tensor(
        draw, 0, shape, dt=draw.one(("B16", "B16", "B16", "F32")), mc="" if fault == "width" else place
    )
    options = _tail(
        draw,
        fault,
        (25, f"memory_config={draw.one(('ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG', 'L1', 'DRAM'))}"),
        (15, f"overlap_qk_coregrid={draw.one(('True', 'False'))}"),
    )
    return f"ttnn.{name}({tensor}, num_heads={heads}, num_kv_heads={kv_heads}{options})"


@generates("experimental.nlp_concat_heads", cases=40)
def _concat(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "keyword"), 1)
    shape = [draw.one((1, 1, 2)), draw.one((1, 2, 4, 8)), draw.one((1, 32, 64, 100)), draw.one((32, 64, 64, 128, 40))]
    tensor = fault.tensor(draw, 0, shape, dt=draw.one(("B16", "B16", "B8", "F32")), mc=draw.one(("", "L1")))
    return f"ttnn.{name}({tensor}{_tail(draw, fault, (25, f'memory_config={draw.one(_PLACES)}'))})"


@generates("experimental.nlp_concat_heads_decode", cases=50)
def _concat_decode(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "heads", "keyword", "interleaved", "front"), 1)
    batch, heads, width = draw.one((1, 8, 8, 16, 32)), draw.one((1, 2, 4, 8, 16)), draw.one((32, 64, 64, 128))
    place = "" if fault == "interleaved" else f"HS(32, {width}, {batch})"
    shape = [1, batch, heads, width]
    tensor = fault.tensor(draw, 0, shape, dt=draw.one(("B16", "B16", "B16", "F32")), mc=place)
    count = draw.one((33, 64)) if fault == "heads" else heads
    return f"ttnn.{name}({tensor}, num_heads={count}{_tail(draw, fault, (15, 'memory_config=L1'))})"


@generates("experimental.rotary_embedding_llama", cases=90)
def _rotate(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "width", "batch", "keyword", "matrix", "interleaved"), 4)
    width, heads = draw.one((32, 64, 64, 128)), draw.one((1, 2, 4, 8))
    if draw.chance(50):
        return _rotate_prefill(draw, fault, name, heads, width)
    batch = draw.one((1, 8, 8, 16))
    other = batch + 1 if fault == "batch" else batch
    wide = width
    plain = fault == "interleaved"
    shapes = ([1, batch, heads, width], [1, other, 1, wide], [1, other, 1, wide], [1, 1, 32 * batch, 32])
    places = [f"HS(32, {shape[-1]}, {other if number in {1, 2} else batch})" for number, shape in enumerate(shapes)]
    tensors = [
        fault.tensor(draw, number, shape, mc="" if plain and number == fault.at else places[number])
        for number, shape in enumerate(shapes)
    ]
    return f"ttnn.{name}({', '.join(tensors)}, is_decode_mode=True{_tail(draw, fault, (10, 'memory_config=L1'))})"


def _rotate_prefill(draw: Draw, fault: object, name: str, heads: int, width: int) -> str:
    length = draw.one((1, 32, 32, 64, 100))
    known = length + draw.one((0, 0, 28, 64))
    wide = width * 2 if fault == "width" else width
    matrix = draw.one(([1, 1, 64, 32], [1, 1, 64, 64], [1, 1, 32, 64])) if fault == "matrix" else [1, 1, 32, 32]
    shapes = ([1, heads, length, width], [1, 1, known, wide], [1, 1, known, wide], matrix)
    tensors = [fault.tensor(draw, number, shape) for number, shape in enumerate(shapes)]
    options = _tail(draw, fault, (30, "is_decode_mode=False"), (20, f"memory_config={draw.one(_PLACES)}"))
    return f"ttnn.{name}({', '.join(tensors)}{options})"


@generates("experimental.fast_reduce_nc", cases=40)
def _reduce(draw: Draw, mesh: str, name: str) -> str:
    del mesh
    fault = pick(draw, (*TENSOR_FAULTS, "dims", "keyword"), 1)
    shape = [draw.one((1, 2, 4)), draw.one((1, 4, 8)), draw.one((1, 5, 32, 64)), draw.one((32, 40, 64, 256))]
    dims = (
        draw.one(([2], [3], [0, 3], [4], [-1], [-3], []))
        if fault == "dims"
        else draw.one(([0], [1], [1], [1], [0, 1], [0, 1]))
    )
    tensor = fault.tensor(draw, 0, shape, dt=draw.one(("B16", "B16", "B8", "F32", "F32")), mc=draw.one(("", "L1")))
    options = _tail(draw, fault, (25, f"memory_config={draw.one(_PLACES)}"))
    return f"ttnn.{name}({tensor}, dims={dims}{options})"

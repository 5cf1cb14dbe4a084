"""Draw calls of the ops that look up and put values at places, and of attention over caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.fidelity.goldens_case import DEVICES, Call, Draw, Input, named

__all__ = ["BUILDERS"]

Builder = Callable[[Draw], Call]
# Two products and a softmax in float32, the result rounded to bfloat16: measured at most 1.3e-7 of the largest result
# before that rounding, taken four times.
ATTENDED = 5e-7
_TILE = 32
_DECODE_MASK = "a decode mask is scaled with the scores by the kernel (tt-metal #55337), not by ttnn's golden function"


def _embedding(draw: Draw) -> Call:
    rows, width = draw.integer(2, 50), draw.choice(32, 64)
    table = draw.floats((rows, width), "bfloat16", layout="ROW_MAJOR")
    index = draw.integers((draw.integer(1, 3), draw.integer(1, 40)), 0, rows - 1, "uint32", layout="ROW_MAJOR")
    kwargs = {"dtype": named("bfloat16"), "layout": named("TILE_LAYOUT")} if draw.chance() else {}
    return Call(args=(index, table), kwargs=kwargs)


def _gather(draw: Draw) -> Call:
    shape = draw.shape(2, 4)
    dim = draw.integer(0, len(shape) - 1)
    wanted = [draw.integer(1, extent) for extent in shape]
    index = draw.integers(wanted, 0, shape[dim] - 1, draw.choice("uint32", "uint16"))
    return Call(args=(draw.floats(shape), dim, index))


def _scatter(draw: Draw) -> Call:
    shape = draw.shape(2, 3, least=2)
    dim = draw.choice(-1, -1, draw.integer(0, len(shape) - 1))
    # Places that differ along the dim, or the last writer would win.
    count = draw.integer(1, shape[dim])
    orders = [torch.rand(shape, generator=draw.generator).argsort(dim) for _ in range(DEVICES)]
    index = Input(tuple(order.narrow(dim, 0, count) for order in orders), "int32", "ROW_MAJOR")
    dtype = draw.choice("bfloat16", "float32")
    source = draw.floats(index.parts[0].shape, dtype, layout="ROW_MAJOR")
    return Call(args=(draw.floats(shape, dtype, layout="ROW_MAJOR"), dim, index, source), text=f"dim {dim}")


def _plus_one(draw: Draw) -> Call:
    dtype = draw.choice("int32", "uint32")
    low = -5 if dtype == "int32" else 0
    given = draw.integers((draw.integer(1, 64),), low, 100, dtype, layout="ROW_MAJOR")
    skips = dtype == "int32" and draw.chance()
    return Call(args=(given,), kwargs={"skip_negative_entries": skips})


def _fill_cache(draw: Draw) -> Call:
    users, heads, length, width = draw.integer(1, 4), draw.integer(1, 3), 32 * draw.integer(1, 3), draw.choice(32, 64)
    dtype = draw.choice("bfloat16", "float32")
    cache = draw.floats((users, heads, length, width), dtype, shared=draw.chance())
    rows = draw.integer(1, length // 32)
    given = draw.floats((1, heads, 32 * rows, width), dtype)
    kwargs = {"update_idx": 32 * draw.integer(0, length // 32 - rows)} if draw.chance() else {}
    return Call(args=(cache, given, draw.integer(0, users - 1)), kwargs=kwargs, text=str(kwargs))


def _update_cache(draw: Draw) -> Call:
    users, heads, length, width = draw.integer(1, 4), draw.integer(1, 3), 32 * draw.integer(1, 3), draw.choice(32, 64)
    cache = draw.floats((users, heads, length, width), "bfloat16", shared=draw.chance())
    given = draw.floats((1, heads, 32, width), "bfloat16")
    kwargs = {"batch_offset": draw.integer(0, 32 - users)} if draw.chance() else {}
    return Call(args=(cache, given, draw.integer(0, length - 1)), kwargs=kwargs, text=str(kwargs))


def _heads(draw: Draw) -> tuple[int, int]:
    kv_heads = draw.choice(1, 2, 4)
    return kv_heads * draw.choice(1, 2, 8), kv_heads


def _settings(draw: Draw) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if draw.chance(0.5):
        kwargs["scale"] = draw.choice(0.125, 0.5, 1.0)
    if draw.chance(0.4):
        kwargs["sliding_window_size"] = draw.choice(1, 4, 20, 128)
    return kwargs


def _prefill(draw: Draw) -> Call:
    (heads, kv_heads), users, length = _heads(draw), draw.integer(1, 2), draw.choice(1, 17, 32, 100)
    width = draw.choice(32, 64)
    causal = draw.chance(0.7)
    # As many keys as queries at least: what a query sees that a window leaves no key is not defined.
    keys = length if causal else length + draw.choice(0, 5, 32)
    query = draw.floats((users, heads, length, width), "bfloat16")
    key, value = (draw.floats((users, kv_heads, keys, width), draw.choice("bfloat16", "bfloat8_b")) for _ in range(2))
    kwargs = _settings(draw)
    kwargs["is_causal"] = causal
    if not causal and draw.chance(0.7):
        kwargs.pop("sliding_window_size", None)
        kwargs["attn_mask"] = draw.floats((users, 1, length, keys), "bfloat16")
    if draw.chance(0.5):
        kwargs["attention_sink"] = draw.floats((1, heads, 1, 1), "bfloat16", scale=4.0)
    return Call(args=(query, key, value), kwargs=kwargs, tolerance=ATTENDED, text=" ".join(kwargs))


def _positions(draw: Draw, users: int, length: int) -> Input:
    return draw.integers((users,), 0, length - 1, layout="ROW_MAJOR", shared=draw.chance(0.3))


def _sink(draw: Draw, heads: int) -> Input:
    """Return one logit per head, in column 0."""
    return draw.floats((heads, _TILE), "bfloat16", scale=4.0)


def _decode(draw: Draw) -> Call:
    (heads, kv_heads), users = _heads(draw), draw.integer(1, 4)
    length, width = draw.choice(32, 64, 128), draw.choice(32, 64)
    query = draw.floats((1, users, heads, width), "bfloat16")
    key, value = (draw.floats((users, kv_heads, length, width), draw.choice("bfloat16", "bfloat8_b")) for _ in range(2))
    kwargs = _settings(draw)
    if draw.chance(0.5):
        kwargs["attention_sink"] = _sink(draw, heads)
    excuse = None
    if draw.chance(0.8):
        kwargs["cur_pos_tensor"] = _positions(draw, users, length)
    else:
        kwargs.pop("sliding_window_size", None)
        kwargs["is_causal"] = False
        kwargs["attn_mask"] = _mask(draw, (users, 1, heads, length), hides=draw.chance(0.7))
        excuse = _DECODE_MASK if kwargs["attn_mask"].dtype == "float32" else None
        kwargs["attn_mask"] = Input(kwargs["attn_mask"].parts, "bfloat16")
    text = " ".join(kwargs)
    return Call(args=(query, key, value), kwargs=kwargs, tolerance=ATTENDED, text=text, excuse=excuse)


def _mask(draw: Draw, shape: tuple[int, ...], *, hides: bool) -> Input:
    """Return a mask that hides keys, or one of any numbers (float32 marks it)."""
    if not hides:
        return draw.floats(shape, "float32")
    hidden = tuple(draw.whole(shape, 0, 1).bool() for _ in range(DEVICES))
    for part in hidden:
        part[..., 0] = False
    return Input(tuple(torch.zeros(shape).masked_fill(part, float("-inf")) for part in hidden), "bfloat16")


def _paged(draw: Draw) -> Call:
    (heads, kv_heads), users = _heads(draw), draw.integer(1, 4)
    size, per_user, width = draw.choice(32, 64), draw.integer(1, 3), draw.choice(32, 64)
    blocks = users * per_user + 1
    query = draw.floats((1, users, heads, width), "bfloat16")
    key, value = (draw.floats((blocks, kv_heads, size, width), draw.choice("bfloat16", "bfloat8_b")) for _ in range(2))
    order = torch.randperm(blocks, generator=draw.generator)[: users * per_user].reshape(users, per_user)
    table = Input((order,), "int32", "ROW_MAJOR")
    kwargs = _settings(draw)
    kwargs["cur_pos_tensor"] = _positions(draw, users, size * per_user)
    if draw.chance(0.5):
        kwargs["attention_sink"] = _sink(draw, heads)
    return Call(args=(query, key, value, table), kwargs=kwargs, tolerance=ATTENDED, text=" ".join(kwargs))


def _chunked(draw: Draw) -> Call:
    (heads, kv_heads), users = _heads(draw), draw.integer(1, 2)
    size, pages, width = draw.choice(32, 64), draw.integer(2, 4), draw.choice(32, 64)
    length = 32 * draw.integer(1, 2)
    start = 32 * draw.integer(0, (size * pages - length) // 32)
    blocks = users * pages + 1
    query = draw.floats((users, heads, length, width), "bfloat16")
    key, value = (draw.floats((blocks, kv_heads, size, width), draw.choice("bfloat16", "bfloat8_b")) for _ in range(2))
    order = torch.randperm(blocks, generator=draw.generator)[: users * pages].reshape(users, pages)
    kwargs = _settings(draw)
    if draw.chance(0.5):
        kwargs["attention_sink"] = draw.floats((1, heads, 1, 1), "bfloat16", scale=4.0)
    args = (query, key, value, Input((order,), "int32", "ROW_MAJOR"), start)
    return Call(args=args, kwargs=kwargs, tolerance=ATTENDED, text=" ".join(("start", str(start), *kwargs)))


BUILDERS: dict[str, Builder] = {
    "embedding": _embedding,
    "fill_cache": _fill_cache,
    "gather": _gather,
    "plus_one": _plus_one,
    "scatter": _scatter,
    "transformer.chunked_scaled_dot_product_attention": _chunked,
    "transformer.paged_scaled_dot_product_attention_decode": _paged,
    "transformer.scaled_dot_product_attention": _prefill,
    "transformer.scaled_dot_product_attention_decode": _decode,
    "update_cache": _update_cache,
}

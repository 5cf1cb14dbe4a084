"""Attention equals the loops of ``reference.py``, with sinks, windows, groups, caches and page tables."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, integers, put, shards
from tests.ttemu.reference import attention, causal
from ttemu.attention import formula as chunks
from ttemu.attention.formula import Scores, attend_causal

# q, k and v are bfloat16 on both sides; the result is rounded once to bfloat16, half a unit of 2**-8.
CLOSE = {"rtol": 2**-8, "atol": 1e-5}
PREFILL = ttnn.transformer.scaled_dot_product_attention
DECODE = ttnn.transformer.scaled_dot_product_attention_decode
PAGED = ttnn.transformer.paged_scaled_dot_product_attention_decode


def rounded(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return bfloat16 numbers as float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16().float()


Q, K, V, SINK = (
    rounded(2, 4, 40, 32, seed=1),
    rounded(2, 2, 40, 32, seed=2),
    rounded(2, 2, 40, 32, seed=3),
    rounded(4, seed=4),
)


@pytest.mark.parametrize("window", [None, 1, 7, 64])
@pytest.mark.parametrize("with_sink", [False, True])
def test_prefill_equals_the_loop(single: ttnn.MeshDevice, window: int | None, *, with_sink: bool) -> None:
    q, k, v = (put(single, values, ttnn.bfloat16) for values in (Q, K, V))
    sink = put(single, SINK.view(1, 4, 1, 1), ttnn.bfloat16) if with_sink else None
    result = get(PREFILL(q, k, v, is_causal=True, sliding_window_size=window, attention_sink=sink)).float()

    for user in range(2):
        expected = attention(Q[user], K[user], V[user], causal(40, window), sinks=SINK if with_sink else None)
        torch.testing.assert_close(result[user], expected, **CLOSE)


@pytest.mark.parametrize("heads", [1, 4])
def test_prefill_mask_is_added_unscaled(single: ttnn.MeshDevice, heads: int) -> None:
    mask = rounded(1, heads, 40, 40, seed=5)
    q, k, v, bias = (put(single, values, ttnn.bfloat16) for values in (Q[:1], K[:1], V[:1], mask))

    expected = attention(Q[0], K[0], V[0], [range(40)] * 40, bias=mask[0].expand(4, 40, 40))
    torch.testing.assert_close(get(PREFILL(q, k, v, is_causal=False, attn_mask=bias)).float()[0], expected, **CLOSE)


@pytest.mark.parametrize("keys", [40, 64])
def test_window_without_causality_reaches_half_its_size_both_ways(single: ttnn.MeshDevice, keys: int) -> None:
    key, value = rounded(2, keys, 32, seed=6), rounded(2, keys, 32, seed=7)
    q, k, v = (put(single, values, ttnn.bfloat16) for values in (Q[:1], key[None], value[None]))
    seen = [[at for at in range(keys) if abs(at - row - (keys - 40)) <= 4] for row in range(40)]

    result = get(PREFILL(q, k, v, is_causal=False, sliding_window_size=9)).float()[0]
    torch.testing.assert_close(result, attention(Q[0], key, value, seen), **CLOSE)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_chunk_attends_to_the_pages_before_it(single: ttnn.MeshDevice, *, as_tensor: bool) -> None:
    table = [[5, 2, 7, 0, 1, 3, 4, 6]]
    caches = [rounded(8, 2, 32, 32, seed=8), rounded(8, 2, 32, 32, seed=9)]
    k, v = (cache[table[0]].transpose(0, 1).flatten(1, 2) for cache in caches)
    start = {"chunk_start_idx_tensor": integers(single, [32])} if as_tensor else {"chunk_start_idx": 32}
    tensors = [put(single, values, ttnn.bfloat16) for values in (Q[:1], *caches)]

    result = ttnn.transformer.chunked_scaled_dot_product_attention(*tensors, integers(single, table), **start)
    torch.testing.assert_close(get(result).float()[0], attention(Q[0], k, v, causal(256, None)[32:72]), **CLOSE)
    with pytest.raises(RuntimeError, match="exactly one chunk_start_idx"):
        ttnn.transformer.chunked_scaled_dot_product_attention(*tensors, integers(single, table))
    with pytest.raises(RuntimeError, match=r"256 keys, must be greater than or equal to 224 \+ 40"):
        ttnn.transformer.chunked_scaled_dot_product_attention(*tensors, integers(single, table), 224)


def test_chunk_of_queries_that_is_cut_gives_the_same(single: ttnn.MeshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = [put(single, rounded(8, 2, 32, 32, seed=seed), ttnn.bfloat16) for seed in (8, 9)]
    tensors = [put(single, Q[:1], ttnn.bfloat16), *caches, integers(single, [[5, 2, 7, 0]])]
    bias = put(single, rounded(1, 1, 40, 40, seed=3), ttnn.bfloat16)
    plain = [put(single, values[:1], ttnn.bfloat16) for values in (Q, K, V)]

    def both() -> list[torch.Tensor]:
        chunk = ttnn.transformer.chunked_scaled_dot_product_attention(*tensors, 64, sliding_window_size=16)
        return [get(chunk), get(PREFILL(*plain, is_causal=False, attn_mask=bias))]

    whole = both()
    monkeypatch.setattr(chunks, "QUERY_CHUNK", 16)
    for cut, expected in zip(both(), whole, strict=True):
        torch.testing.assert_close(cut, expected, **CLOSE)


def test_heads_come_out_side_by_side_on_request(single: ttnn.MeshDevice) -> None:
    q, k, v = (put(single, values, ttnn.bfloat16) for values in (Q, K, V))

    apart = get(PREFILL(q, k, v))
    assert torch.equal(get(PREFILL(q, k, v, output_concat_heads=True)), apart.transpose(1, 2).flatten(2).unsqueeze(1))


def test_scale_replaces_the_default(single: ttnn.MeshDevice) -> None:
    q, k, v = (put(single, values, ttnn.bfloat16) for values in (Q[:1], K[:1], V[:1]))

    expected = attention(Q[0] * 0.5, K[0], V[0], causal(40, None))
    torch.testing.assert_close(get(PREFILL(q, k, v, scale=0.5 * 32**-0.5)).float()[0], expected, **CLOSE)


def test_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = rounded(1, 1, 1, 2, 2, 40, 32), rounded(1, 1, 1, 2, 1, 40, 32), rounded(1, 1, 1, 2, 1, 40, 32)
    how = Scores(scale=1.0, window=9)
    whole = attend_causal(q, k, v, how)
    monkeypatch.setattr(chunks, "QUERY_CHUNK", 16)

    torch.testing.assert_close(attend_causal(q, k, v, how), whole)


@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("with_sink", [False, True])
def test_decode_equals_the_loop(single: ttnn.MeshDevice, window: int | None, *, with_sink: bool) -> None:
    q, k, v = rounded(1, 3, 4, 32, seed=6), rounded(3, 2, 64, 32, seed=7), rounded(3, 2, 64, 32, seed=8)
    positions = [0, 17, 63]
    padded = torch.zeros(4, 32)
    padded[:, 0] = SINK
    result = DECODE(
        put(single, q, ttnn.bfloat16),
        put(single, k, ttnn.bfloat16),
        put(single, v, ttnn.bfloat16),
        cur_pos_tensor=integers(single, positions),
        sliding_window_size=window,
        attention_sink=put(single, padded, ttnn.bfloat16) if with_sink else None,
    )

    for user, position in enumerate(positions):
        seen = causal(64, window)[position]
        expected = attention(q[0, user, :, None], k[user], v[user], [seen], sinks=SINK if with_sink else None)
        torch.testing.assert_close(get(result).float()[0, user], expected[:, 0], **CLOSE)


def test_decode_skips_users_without_a_position(single: ttnn.MeshDevice) -> None:
    q, cache = put(single, rounded(1, 2, 4, 32), ttnn.bfloat16), put(single, rounded(2, 2, 64, 32), ttnn.bfloat16)
    result = get(DECODE(q, cache, cache, cur_pos=[-1, 5]))

    assert not result[0, 0].any()
    assert bool(result[0, 1].isfinite().all())


@pytest.mark.parametrize(
    "make", [lambda mesh: integers(mesh, [[3, 5]]), lambda mesh: integers(mesh, [3, 5], ttnn.uint32)]
)
def test_positions_may_be_of_either_rank_and_sign(single: ttnn.MeshDevice, make: object) -> None:
    q, cache = put(single, rounded(1, 2, 4, 32), ttnn.bfloat16), put(single, rounded(2, 2, 64, 32), ttnn.bfloat16)

    expected = get(DECODE(q, cache, cache, cur_pos=[3, 5]))
    assert torch.equal(get(DECODE(q, cache, cache, cur_pos_tensor=make(single))), expected)


def test_decode_mask_is_scaled(single: ttnn.MeshDevice) -> None:
    q, k, v, mask = (
        rounded(1, 1, 4, 32),
        rounded(1, 2, 64, 32, seed=1),
        rounded(1, 2, 64, 32, seed=2),
        rounded(1, 1, 4, 64, seed=3),
    )
    q_, k_, v_, mask_ = (put(single, values, ttnn.bfloat16) for values in (q, k, v, mask))

    expected = attention(q[0, 0, :, None], k[0], v[0], [range(64)], bias=mask[0, 0, :, None] * 32**-0.5)
    result = get(DECODE(q_, k_, v_, is_causal=False, attn_mask=mask_)).float()[0, 0]
    torch.testing.assert_close(result, expected[:, 0], **CLOSE)


def test_paged_decode_equals_decode(single: ttnn.MeshDevice) -> None:
    q, k, v = rounded(1, 2, 4, 32), rounded(2, 2, 64, 32, seed=1), rounded(2, 2, 64, 32, seed=2)
    table = torch.tensor([[3, 0], [1, 2]])
    blocks = [torch.empty(4, 2, 32, 32) for _ in range(2)]
    for cache, paged in zip((k, v), blocks, strict=True):
        for user in range(2):
            for slot in range(2):
                paged[table[user, slot]] = cache[user, :, slot * 32 : slot * 32 + 32]
    positions = integers(single, [40, 7])

    straight = DECODE(*(put(single, values, ttnn.bfloat16) for values in (q, k, v)), cur_pos_tensor=positions)
    paged_result = PAGED(
        *(put(single, values, ttnn.bfloat16) for values in (q, *blocks)),
        integers(single, table.tolist()),
        cur_pos_tensor=positions,
    )
    assert torch.equal(get(paged_result), get(straight))


def test_heads_over_columns_attend_to_their_own_keys(mesh: ttnn.MeshDevice) -> None:
    q, k, v = rounded(1, 8, 40, 32, seed=1), rounded(1, 4, 40, 32, seed=2), rounded(1, 4, 40, 32, seed=3)
    spread = [put(mesh, values, ttnn.bfloat16, dims=(None, 1)) for values in (q, k, v)]
    whole = attention(q[0], k[0], v[0], causal(40, None))

    for device, got in enumerate(shards(PREFILL(*spread))):
        torch.testing.assert_close(got.float()[0], whole.chunk(4, 0)[device % 4], **CLOSE)


def bf16(mesh: ttnn.MeshDevice, *shape: int, dtype: ttnn.DataType = ttnn.bfloat16) -> ttnn.Tensor:
    """Return ones."""
    return put(mesh, torch.ones(shape), dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: PREFILL(bf16(m, 1, 4, 64, 32), *[bf16(m, 1, 2, 96, 32)] * 2),
            RuntimeError,
            "equal lengths, got 64 queries and 96 keys",
        ),
        (
            lambda m: PREFILL(bf16(m, 1, 4, 64, 32), *[bf16(m, 1, 3, 64, 32)] * 2),
            RuntimeError,
            "Q num_heads 4 must be divisible by K num_heads 3",
        ),
        (
            lambda m: PREFILL(*[bf16(m, 1, 4, 64, 32, dtype=ttnn.float32)] * 3),
            RuntimeError,
            "BFLOAT16, BFLOAT8_B, BFLOAT4_B, got FLOAT32",
        ),
        (lambda m: PREFILL(*[bf16(m, 4, 64, 32)] * 3), RuntimeError, "expected a tensor of 4 dims"),
        (
            lambda m: PREFILL(bf16(m, 2, 4, 64, 32), *[bf16(m, 1, 4, 64, 32)] * 2),
            RuntimeError,
            "batch of Q, K and V must match",
        ),
        (
            lambda m: PREFILL(*[bf16(m, 1, 4, 64, 32)] * 3, attn_mask=bf16(m, 1, 1, 64, 64)),
            RuntimeError,
            "cannot be given together",
        ),
        (
            lambda m: PREFILL(*[bf16(m, 1, 4, 64, 32)] * 3, attention_sink=bf16(m, 4, 1)),
            RuntimeError,
            r"sink must have shape \[1, 4, 1, 1\]",
        ),
        (
            lambda m: PREFILL(*[bf16(m, 1, 4, 64, 32)] * 3, attention_sink=bf16(m, 1, 4, 1, 1, dtype=ttnn.float32)),
            RuntimeError,
            r"\[1, 4, 1, 1\]\) must be BFLOAT16",
        ),
        (
            lambda m: PREFILL(
                *[bf16(m, 1, 4, 64, 32)] * 3, is_causal=False, sliding_window_size=4, attn_mask=bf16(m, 1, 1, 64, 64)
            ),
            RuntimeError,
            "attn_mask and sliding_window_size cannot be given together",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32), *[bf16(m, 2, 2, 64, 32)] * 2),
            IndexError,
            "cur_pos has 0 entries for 2 users",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32), *[bf16(m, 2, 2, 64, 32)] * 2, cur_pos=[1]),
            IndexError,
            "1 entries for 2 users",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32), *[bf16(m, 2, 2, 64, 32)] * 2, cur_pos=[1, 64]),
            RuntimeError,
            "lies outside the 64 keys",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32), *[bf16(m, 3, 2, 64, 32)] * 2, cur_pos=[1, 2]),
            RuntimeError,
            "batch of cache .* must match that of Q",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32), *[bf16(m, 2, 2, 200, 32)] * 2, cur_pos=[1, 2]),
            RuntimeError,
            "multiple of 32, the cache has 200",
        ),
        (
            lambda m: DECODE(bf16(m, 1, 2, 4, 32, dtype=ttnn.bfloat8_b), *[bf16(m, 2, 2, 64, 32)] * 2, cur_pos=[1, 2]),
            RuntimeError,
            "several K heads need dtype BFLOAT16",
        ),
        (
            lambda m: DECODE(
                bf16(m, 1, 2, 4, 32),
                *[bf16(m, 2, 2, 64, 32)] * 2,
                cur_pos=[1, 2],
                memory_config=ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG,
            ),
            RuntimeError,
            "Sharded output not supported for GQA",
        ),
        (
            lambda m: PAGED(bf16(m, 1, 2, 4, 32), *[bf16(m, 4, 2, 32, 32)] * 2, integers(m, [[0], [1]])),
            RuntimeError,
            "cur_pos_tensor must be specified",
        ),
        (
            lambda m: PAGED(
                bf16(m, 1, 2, 4, 32),
                *[bf16(m, 4, 2, 32, 32)] * 2,
                integers(m, [[0], [1]], ttnn.uint32),
                cur_pos_tensor=integers(m, [0, 0]),
            ),
            RuntimeError,
            "must be INT32, got UINT32",
        ),
        (
            lambda m: PAGED(
                bf16(m, 1, 2, 4, 32),
                *[bf16(m, 4, 2, 32, 32)] * 2,
                integers(m, [[0]]),
                cur_pos_tensor=integers(m, [0, 0]),
            ),
            RuntimeError,
            "one position per user",
        ),
    ],
)
def test_attention_refuses(single: ttnn.MeshDevice, call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(single)

"""Fused projections are cut into heads, joined again and rotated."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, height_sharded, put
from tests.ttemu.reference import rotate_pairs

FUSED = torch.randn(1, 1, 40, 8 * 32)


def turn_matrix() -> torch.Tensor:
    """Return the 32x32 matrix that turns each pair of columns: out[2k] = -x[2k+1], out[2k+1] = x[2k]."""
    matrix = torch.zeros(1, 1, 32, 32)
    for pair in range(0, 32, 2):
        matrix[0, 0, pair + 1, pair] = -1
        matrix[0, 0, pair, pair + 1] = 1
    return matrix


def test_prefill_heads_are_consecutive_columns(single: ttnn.MeshDevice) -> None:
    q, k, v = ttnn.experimental.nlp_create_qkv_heads(
        put(single, FUSED), num_heads=4, num_kv_heads=2, transpose_k_heads=False
    )
    heads = FUSED.view(40, 8, 32).permute(1, 0, 2)[None]

    assert torch.equal(get(q), heads[:, :4])
    assert torch.equal(get(k), heads[:, 4:6])
    assert torch.equal(get(v), heads[:, 6:])


def test_keys_are_transposed_by_default(single: ttnn.MeshDevice) -> None:
    _, k, _ = ttnn.experimental.nlp_create_qkv_heads(put(single, FUSED), num_heads=4, num_kv_heads=2)

    assert torch.equal(get(k), FUSED.view(40, 8, 32).permute(1, 2, 0)[None, 4:6])


def test_joined_heads_are_the_fused_columns(single: ttnn.MeshDevice) -> None:
    heads = torch.randn(2, 4, 40, 32)

    assert torch.equal(
        get(ttnn.experimental.nlp_concat_heads(put(single, heads))), heads.transpose(1, 2).reshape(2, 1, 40, 128)
    )


def test_decode_heads_are_sharded_over_one_core_per_user(single: ttnn.MeshDevice) -> None:
    fused = torch.randn(1, 1, 5, 8 * 32)
    q, k, v = ttnn.experimental.nlp_create_qkv_heads_decode(put(single, fused), num_heads=4, num_kv_heads=2)
    heads = fused.view(1, 5, 8, 32)

    assert torch.equal(get(q), heads[:, :, :4])
    assert torch.equal(get(k), heads[:, :, 4:6])
    assert torch.equal(get(v), heads[:, :, 6:])
    spec = q.memory_config().shard_spec
    assert spec is not None
    assert (q.memory_config().memory_layout, spec.shape, spec.num_cores()) == (
        ttnn.TensorMemoryLayout.HEIGHT_SHARDED,
        [32, 32],
        5,
    )


def test_joined_decode_heads_fill_32_rows(single: ttnn.MeshDevice) -> None:
    heads = torch.randn(1, 5, 4, 32)
    joined = ttnn.experimental.nlp_concat_heads_decode(height_sharded(put(single, heads)), num_heads=4)

    assert joined.memory_config().memory_layout is ttnn.TensorMemoryLayout.WIDTH_SHARDED
    assert torch.equal(get(joined)[0, 0, :5], heads.reshape(5, 128))
    assert not get(joined)[0, 0, 5:].any()


def test_heads_beyond_the_logical_ones_are_padding(single: ttnn.MeshDevice) -> None:
    joined = ttnn.experimental.nlp_concat_heads_decode(
        height_sharded(put(single, torch.ones(1, 5, 4, 32))), num_heads=5
    )

    assert not get(joined)[0, 0, :5, 128:].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda e, m: e.nlp_create_qkv_heads(put(m, FUSED[..., :250]), num_heads=4, num_kv_heads=2),
            "width 250 does not cut into 8 heads",
        ),
        (
            lambda e, m: e.nlp_create_qkv_heads(put(m, FUSED[0]), num_heads=4, num_kv_heads=2),
            "expected a tensor of 4 dims",
        ),
        (
            lambda e, m: e.nlp_create_qkv_heads(put(m, FUSED, layout=ttnn.ROW_MAJOR_LAYOUT), num_heads=4),
            "must be in TILE layout",
        ),
        (
            lambda e, m: e.nlp_create_qkv_heads_decode(put(m, torch.ones(1, 1, 96, 256)), num_heads=4, num_kv_heads=2),
            "batch 96 must not exceed the 72 cores",
        ),
        (
            lambda e, m: e.nlp_create_qkv_heads_decode(put(m, FUSED, ttnn.bfloat8_b), num_heads=4, num_kv_heads=2),
            "must be FLOAT32, BFLOAT16, got BFLOAT8_B",
        ),
        (lambda e, m: e.nlp_concat_heads(put(m, FUSED[0])), "expected a tensor of 4 dims"),
        (
            lambda e, m: e.nlp_concat_heads_decode(put(m, torch.ones(1, 5, 4, 32)), num_heads=4),
            "input tensor must be sharded",
        ),
        (
            lambda e, m: e.nlp_concat_heads_decode(height_sharded(put(m, torch.ones(1, 5, 4, 32))), num_heads=33),
            "33 heads of 5 users do not fit",
        ),
    ],
)
def test_heads_refuse(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(ttnn.experimental, single)


@pytest.mark.parametrize("tied", [False, True])
def test_keys_and_values_come_from_a_tensor_of_their_own(single: ttnn.MeshDevice, *, tied: bool) -> None:
    queries, others = torch.randn(1, 1, 40, 4 * 32), torch.randn(1, 1, 40, (1 if tied else 2) * 2 * 32)
    q, k, v = ttnn.experimental.nlp_create_qkv_heads(
        put(single, queries), put(single, others), num_heads=4, num_kv_heads=2, kv_tied=tied, transpose_k_heads=False
    )
    heads = others.view(1, 40, -1, 32).transpose(1, 2)

    assert torch.equal(get(q), queries.view(1, 40, 4, 32).transpose(1, 2))
    assert torch.equal(get(k), heads[:, :2])
    assert torch.equal(get(v), heads[:, -2:])
    with pytest.raises(RuntimeError, match="head dims must be the same for q and kv"):
        ttnn.experimental.nlp_create_qkv_heads(put(single, queries), put(single, others), num_heads=2, num_kv_heads=2)


@pytest.mark.parametrize("length", [40, 64])
def test_prefill_rotation_equals_the_loop(single: ttnn.MeshDevice, length: int) -> None:
    x = torch.randn(1, 4, 40, 64).bfloat16().float()
    angle = torch.rand(1, 1, length, 32).repeat_interleave(2, -1) * 6
    cos, sin = angle.cos().bfloat16().float(), angle.sin().bfloat16().float()
    tensors = [put(single, values, ttnn.bfloat16) for values in (x, cos, sin, turn_matrix())]

    expected = rotate_pairs(x, cos[:, :, :40], sin[:, :, :40]).bfloat16()
    assert torch.equal(get(ttnn.experimental.rotary_embedding_llama(*tensors)), expected)


def test_decode_rotation_has_an_angle_per_user(single: ttnn.MeshDevice) -> None:
    x = torch.randn(1, 3, 4, 64).bfloat16().float()
    angle = torch.rand(1, 3, 1, 32).repeat_interleave(2, -1) * 6
    cos, sin = angle.cos().bfloat16().float(), angle.sin().bfloat16().float()
    sharded = [height_sharded(put(single, values, ttnn.bfloat16)) for values in (x, cos, sin)]
    matrix = height_sharded(put(single, turn_matrix(), ttnn.bfloat16))

    result = ttnn.experimental.rotary_embedding_llama(*sharded, matrix, is_decode_mode=True)
    assert torch.equal(get(result), rotate_pairs(x, cos, sin).bfloat16())


def bf16(mesh: ttnn.MeshDevice, *shape: int) -> ttnn.Tensor:
    """Return ones."""
    return put(mesh, torch.ones(shape), ttnn.bfloat16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda r, m: r(put(m, torch.ones(1, 4, 32, 64)), *[bf16(m, 1, 1, 32, 64)] * 2, bf16(m, 1, 1, 32, 32)),
            "all tensors must have dtype BFLOAT16",
        ),
        (
            lambda r, m: r(bf16(m, 1, 4, 64, 64), *[bf16(m, 1, 1, 32, 64)] * 2, bf16(m, 1, 1, 32, 32)),
            "sequence 64 is longer than cos .* reads past its end",
        ),
        (
            lambda r, m: r(
                bf16(m, 1, 1, 4, 64), *[bf16(m, 1, 1, 1, 64)] * 2, bf16(m, 1, 1, 32, 32), is_decode_mode=True
            ),
            "decode mode needs HEIGHT_SHARDED",
        ),
        (
            lambda r, m: r(
                *[height_sharded(bf16(m, 1, *shape)) for shape in ((2, 4, 64), (3, 1, 64), (3, 1, 64), (1, 32, 32))],
                is_decode_mode=True,
            ),
            "must have the same batch as input",
        ),
    ],
)
def test_rotation_refuses(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(ttnn.experimental.rotary_embedding_llama, single)

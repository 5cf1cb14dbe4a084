"""Rotation tables and orders, on the host."""

from __future__ import annotations

import pytest
import torch

from gptoss.attention.rope import Rope, head_sharded, inverse_frequencies, pair_order, tables
from gptoss.config import GptOssConfig
from gptoss.reference import Reference, rotate
from gptoss.testing.comparison import copies

TINY = GptOssConfig(head_dim=32, initial_context_length=64)


@pytest.mark.parametrize("config", [GptOssConfig(), TINY, GptOssConfig(rope_truncate=True)])
def test_frequencies_are_the_references(config):
    expected = torch.tensor(Reference(config, {})._frequencies(), dtype=torch.float64)

    assert torch.allclose(inverse_frequencies(config), expected, rtol=1e-12)


def test_tables_hold_each_value_twice():
    cos, sin = tables(TINY, range(100))
    expected_cos, expected_sin = Reference(TINY, {}).rope_tables(list(range(100)))

    assert torch.allclose(cos[:, 0::2], expected_cos, atol=1e-6)
    assert torch.equal(cos[:, 0::2], cos[:, 1::2])
    assert torch.allclose(sin[:, 1::2], expected_sin, atol=1e-6)


def test_pair_order_brings_halves_together():
    assert pair_order(2, 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_pairs_rotate_as_halves_do():
    heads = torch.randn(10, 2, 32)
    cos, sin = tables(TINY, range(10))
    order = pair_order(1, 32)
    pairs = heads[..., order]
    swapped = torch.stack([-pairs[..., 1::2], pairs[..., 0::2]], dim=-1).flatten(-2)

    actual = pairs * cos[:, None] + swapped * sin[:, None]

    expected = rotate(heads, *Reference(TINY, {}).rope_tables(list(range(10))))[..., order]
    assert torch.allclose(actual, expected, atol=1e-5)


def test_position_beyond_the_model_is_refused(mesh):
    rope = Rope(mesh, TINY.replace(max_position_embeddings=64))

    with pytest.raises(
        ValueError,
        match="position 64: the model ends at max_position_embeddings=64; pass fewer tokens, or set a greater one",
    ):
        rope.row([3, 64])
    with pytest.raises(ValueError, match="position 99: the model ends at max_position_embeddings=64"):
        rope.rows(40, start=60)


def test_rows_start_where_they_should(mesh):
    rope = Rope(mesh, TINY)

    for later, all_of_them in zip(rope.rows(32, start=64), rope.rows(96), strict=True):
        expected = copies(all_of_them, (2, 4))[0, 0][:, :, 64:]
        assert torch.equal(copies(later, (2, 4))[0, 0], expected)


@pytest.mark.parametrize("positions", [[3, 0, 70, -1], (3, 0, 70, -1), torch.tensor([3, 0, 70, -1])])
def test_every_user_has_a_row_of_its_own(mesh, positions):
    expected = tables(TINY, [3, 0, 70, 0])[0].bfloat16().float()

    together, _ = Rope(mesh, TINY).row(positions)
    apart, _ = Rope(mesh, TINY, user_rows=2).row(positions)

    assert torch.equal(copies(together, (2, 4))[0, 0][0, :, 0], expected)
    assert list(apart.shape) == [1, 2, 1, 32]
    assert torch.equal(copies(apart, (2, 4), (1, None))[0, 0][0, :, 0], expected)


def test_users_lie_on_cores_of_their_own(mesh):
    config = head_sharded(mesh, 64, num_heads=40, users=13)

    assert config.shard_spec.num_cores() == 13
    assert config.shard_spec.shape == [64, 64]

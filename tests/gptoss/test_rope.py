"""Rotation tables and orders, on the host."""

from __future__ import annotations

import pytest
import torch

from gptoss.attention.rope import Rope, inverse_frequencies, pair_order, tables
from gptoss.config import GptOssConfig
from gptoss.reference import Reference, rotate

TINY = GptOssConfig(head_dim=32, initial_context_length=64)


@pytest.mark.parametrize("config", [GptOssConfig(), TINY, GptOssConfig(rope_truncate=True)])
def test_frequencies_are_the_references(config):
    expected = torch.tensor(Reference(config, {})._frequencies(), dtype=torch.float64)

    assert torch.allclose(inverse_frequencies(config), expected, rtol=1e-12)


def test_tables_hold_each_value_twice():
    cos, sin = tables(TINY, 100)
    expected_cos, expected_sin = Reference(TINY, {}).rope_tables(list(range(100)))

    assert torch.allclose(cos[:, 0::2], expected_cos, atol=1e-6)
    assert torch.equal(cos[:, 0::2], cos[:, 1::2])
    assert torch.allclose(sin[:, 1::2], expected_sin, atol=1e-6)


def test_pair_order_brings_halves_together():
    assert pair_order(2, 4).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_pairs_rotate_as_halves_do():
    heads = torch.randn(10, 2, 32)
    cos, sin = tables(TINY, 10)
    order = pair_order(1, 32)
    pairs = heads[..., order]
    swapped = torch.stack([-pairs[..., 1::2], pairs[..., 0::2]], dim=-1).flatten(-2)

    actual = pairs * cos[:, None] + swapped * sin[:, None]

    expected = rotate(heads, *Reference(TINY, {}).rope_tables(list(range(10))))[..., order]
    assert torch.allclose(actual, expected, atol=1e-5)


def test_position_beyond_the_tables_is_refused(mesh):
    rope = Rope(mesh, TINY, length=64)

    with pytest.raises(ValueError, match="position 64: rope tables end at 64; raise length"):
        rope.row(64)
    with pytest.raises(ValueError, match="position 99: rope tables end at 64"):
        rope.rows(100)

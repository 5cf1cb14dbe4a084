"""Attention of one layer on a 2x4 mesh: what it refuses, and what it hands to the kernels."""

from __future__ import annotations

import numpy as np
import pytest
import ttnn

from gptoss.attention import Attention, PagedKVCache
from tests.layouts import users
from tests.test_factory import TestFactory


@pytest.fixture
def setup(mesh):
    return TestFactory.setup_test(mesh, num_local_experts=8)


def test_chunk_needs_the_cache_of_what_comes_before(setup):
    x = setup.send(setup.draws.hidden(32))

    with pytest.raises(ValueError, match="prompt from position 64: pass the cache that holds what comes before"):
        setup.build(Attention).prefill(x, start=64)


def test_chunk_starts_where_a_block_does(setup):
    attention = setup.build(Attention)
    cache = attention.new_cache(128, block_size=64)

    with pytest.raises(ValueError, match="prompt from position 32: start it at a multiple of the block size 64"):
        attention.prefill(setup.send(setup.draws.hidden(32)), cache=cache, start=32)


def test_tokens_are_as_many_as_the_users_of_a_device(setup):
    _, setup = users.layouts(setup)
    attention = setup.build(Attention)
    x = setup.send(setup.draws.hidden(4))

    with pytest.raises(ValueError, match="input of 4 tokens for a cache of 2 users on each device"):
        attention.decode(x, [5] * 4, attention.new_cache(64, users=4))


@pytest.mark.parametrize("head_dim", [32, 64, 96])
def test_scale_loses_nothing_in_float32(mesh, head_dim):
    scale = TestFactory.setup_test(mesh, head_dim=head_dim).build(Attention).scale

    assert scale == float(np.float32(scale))
    assert scale == pytest.approx(head_dim**-0.5)


def test_kind_of_cache_is_the_callers_choice(setup):
    attention = setup.build(Attention, dtype=ttnn.bfloat4_b)

    assert isinstance(attention.new_cache(64, block_size=32), PagedKVCache)
    assert not isinstance(attention.new_cache(64), PagedKVCache)
    assert {attention.new_cache(64, block_size=size).dtype for size in (None, 32)} == {ttnn.bfloat8_b}


def test_joined_heads_may_lie_on_any_core(setup, monkeypatch):
    given = []
    real = ttnn.experimental.nlp_concat_heads_decode
    monkeypatch.setattr(
        ttnn.experimental, "nlp_concat_heads_decode", lambda x, **options: given.append(options) or real(x, **options)
    )
    attention = setup.build(Attention)

    attention.decode(setup.send(setup.draws.hidden(9)), [0] * 9, attention.new_cache(32, users=9))

    grid = setup.mesh_device.compute_with_storage_grid_size()
    assert given[0]["sub_core_grids"].num_cores() == grid.x * grid.y

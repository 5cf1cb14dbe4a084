"""Caches of several users, contiguous and paged: where tokens go, and what has no place."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import ttnn

from gptoss.attention import Attention, PageTable
from gptoss.component import place
from gptoss.testing.comparison import copies
from tests.layouts import users
from tests.test_factory import TestFactory

SHAPE = (2, 4)


@pytest.fixture
def setup(mesh):
    return TestFactory.setup_test(mesh, num_local_experts=8, dtype=ttnn.bfloat16)


def of_kind(kind, setup, attention, **options):
    """Return a cache of 64 positions a user."""
    return dict(users.caches(setup, attention, **({"length": 64, "users": 2} | options)))[kind]


def heads(setup, length, value):
    """Return keys [1, Nk, S, D] that are all ``value``."""
    shape = (1, setup.config.num_key_value_heads // 4, length, setup.config.head_dim)
    return place(setup.mesh_device, torch.full(shape, float(value)))


KINDS = ("contiguous", "paged")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda cache, new: cache.fill(new, new, user=2), "user 2: the cache holds users 0 to 1 of each device"),
        (lambda cache, new: cache.fill(new, new, start=40), "prompt from position 40: start it at a multiple of 32"),
        (
            lambda cache, new: cache.fill(new, new, start=32),
            "prompt of 80 tokens exceeds cache of 64; build a longer one",
        ),
        (lambda cache, new: cache.positions([3]), "1 positions for a cache of 2 users; pass one each, -1 for none"),
        (
            lambda cache, new: cache.positions([64, -2]),
            "position 64 of user 0, position -2 of user 1: the cache ends at 64; build one of a greater length",
        ),
    ],
)
def test_cache_refuses_what_has_no_place(setup, kind, use, message):
    cache = of_kind(kind, setup, setup.build(Attention))

    with pytest.raises(ValueError, match=re.escape(message)):
        use(cache, heads(setup, 48, 1))


def test_prompt_that_no_block_is_left_for_is_refused(setup):
    table = PageTable(setup.mesh_device, setup.mesh_config, length=96, users=2, block_size=32, order=[1, 0])
    cache = setup.build(Attention).new_paged_cache(table)
    cache.fill(heads(setup, 64, 1), heads(setup, 64, 1), user=1)

    with pytest.raises(ValueError, match="user 0 needs 1 more blocks of 32 positions for 1 tokens, 0 of 2 are free"):
        cache.positions([0, 10])


def test_cache_has_as_many_users_as_the_rows_need(setup):
    _, throughput = users.layouts(setup)
    sizes = {
        (setup.build(Attention).new_cache(64).keys.shape[0], "one user"),
        (throughput.build(Attention).new_cache(64).keys.shape[0], "one of each row"),
        (throughput.build(Attention).new_cache(64, users=8).keys.shape[0], "eight over two rows"),
    }

    assert sizes == {(1, "one user"), (1, "one of each row"), (4, "eight over two rows")}


def test_paged_cache_is_as_large_as_its_pool(setup):
    cache = setup.build(Attention).new_cache(100, users=3, block_size=64)

    assert list(cache.keys.shape) == [6, 2, 64, 32]
    assert (cache.length, cache.users, cache.dtype) == (128, 3, ttnn.bfloat16)


def test_prompt_lies_in_the_blocks_of_its_user(setup):
    table = PageTable(setup.mesh_device, setup.mesh_config, length=64, users=2, block_size=32, order=[2, 0, 3, 1])
    cache = setup.build(Attention).new_paged_cache(table)

    cache.fill(heads(setup, 64, 1), heads(setup, 64, -1), user=1)
    cache.fill(heads(setup, 20, 2), heads(setup, 20, -2), user=0)

    keys, values = (copies(held, SHAPE, (None, 1))[0, 0] for held in (cache.keys, cache.values))
    assert keys[:, 0, 0, 0].tolist() == [1, 0, 1, 2]
    assert values[:, 0, 0, 0].tolist() == [-1, 0, -1, -2]
    assert keys[3, 0, 19:21, 0].tolist() == [2, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_user_keeps_its_cache(setup, kind):
    attention = setup.build(Attention)
    cache = of_kind(kind, setup, attention)
    for user in (0, 1):
        cache.fill(heads(setup, 64, 1), heads(setup, 64, 1), user=user)
    x = users.send_tokens(setup, setup.draws.hidden(2))

    attention.decode(x, [-1, 7], cache)

    changed = (copies(cache.values, SHAPE, (None, 1))[0, 0] != 1).any(dim=-1).any(dim=1)
    assert changed.sum() == 1, "one token of one user"
    assert changed.any(dim=0).nonzero().tolist() == [[7]]


def test_both_kinds_give_the_same_answers(setup):
    setup = replace(setup, mesh_config=setup.mesh_config.for_throughput())
    attention = setup.build(Attention)
    prompts, tokens = setup.draws.hidden(96).reshape(2, 48, -1), setup.draws.hidden(4)
    found = []
    for kind in KINDS:
        cache = of_kind(kind, setup, attention, users=4)
        for slot in (0, 1):
            attention.prefill(users.send_prompts(setup, prompts), cache=cache, user=slot)
        output = attention.decode(users.send_tokens(setup, tokens), [48, -1, 48, 48], cache)
        found.append(copies(output, SHAPE, (2, None))[0, 0])

    assert torch.equal(*found)

"""Blocks of a cache: who gets which, and what there is to say when there are none."""

from __future__ import annotations

import re

import pytest

from gptoss.attention import PageTable
from gptoss.mesh_config import MeshConfig
from gptoss.testing.comparison import copies


def table(mesh, *, throughput=False, **options):
    mesh_config = MeshConfig.of(mesh)
    chosen = {"length": 100, "users": 2, "block_size": 32} | options
    return PageTable(mesh, mesh_config.for_throughput() if throughput else mesh_config, **chosen)


def test_blocks_go_out_as_sequences_grow(mesh):
    pages = table(mesh, order=[5, 0, 3, 1, 2, 4])

    pages.reserve(0, 33)
    pages.reserve(1, 20)
    pages.reserve(0, 64)
    pages.reserve(0, 65)

    assert (pages.pages, pages.length, pages.blocks) == (4, 128, 6)
    assert [pages.blocks_of(user) for user in (0, 1)] == [[5, 0, 1], [3]]
    placed = copies(pages.placed(), (2, 4))[0, 0]
    assert placed.tolist() == [[5, 0, 1, -1], [3, -1, -1, -1]]


def test_table_on_the_mesh_follows_the_blocks(mesh):
    pages = table(mesh)
    pages.reserve(1, 32)
    before = pages.placed()

    assert pages.placed() is before, "nothing changed"
    pages.reserve(0, 32)
    assert copies(pages.placed(), (2, 4))[0, 0][:, 0].tolist() == [1, 0]


def test_every_row_has_a_pool_of_its_own(mesh):
    pages = table(mesh, throughput=True, users=4, order=[2, 1, 0])

    for user in (3, 2, 0):
        pages.reserve(user, 32)

    assert [pages.blocks_of(user) for user in range(4)] == [[2], [], [1], [2]]
    shards = copies(pages.placed(), (2, 4), (0, None))[0, 0]
    assert shards[:, 0].tolist() == [2, -1, 1, 2]
    of_second_slot = copies(pages.pages_of(1), (2, 4), (0, None))[0, 0]
    assert of_second_slot[:, 0].tolist() == [-1, 2]


def test_pages_of_a_chunk_begin_where_it_starts(mesh):
    pages = table(mesh, order=[3, 2, 1, 0])
    pages.reserve(1, 128)

    assert copies(pages.pages_of(1, 64), (2, 4))[0, 0].tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="prompt from position 40: start it at a multiple of the block size 32"):
        pages.pages_of(1, 40)


def test_released_blocks_are_handed_out_again(mesh):
    pages = table(mesh, order=[0, 1, 2])
    pages.reserve(0, 64)
    pages.release(0)
    pages.reserve(1, 96)

    assert (pages.blocks_of(0), pages.blocks_of(1)) == ([], [2, 0, 1])


def test_empty_pool_is_refused(mesh):
    pages = table(mesh, order=[0, 1, 2])
    pages.reserve(0, 64)

    message = (
        "user 1 needs 2 more blocks of 32 positions for 40 tokens, 1 of 3 are free; release a user or build a larger"
    )
    with pytest.raises(ValueError, match=message):
        pages.reserve(1, 40)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_size": 40}, "block size 40 is not a multiple of the tile, 32"),
        ({"block_size": 0}, "block size 0 is not a multiple of the tile, 32"),
        ({"order": [0, 2]}, "order of blocks [0, 2] is no permutation of 0 to 1; list each block once"),
        ({"users": 33}, "mesh 2x4: users=33 over rows=1 leaves 33 for each device, which decodes 32 at most; the thr"),
    ],
)
def test_table_that_cannot_be_is_refused(mesh, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        table(mesh, **options)

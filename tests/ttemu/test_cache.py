"""Caches are written in place, per user, rounded to the cache's dtype, and nowhere else."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, height_sharded, integers, put, shards
from ttemu.formats import quantise

UPDATE, FILL_PAGES = ttnn.experimental.paged_update_cache, ttnn.experimental.paged_fill_cache
NEW = torch.randn(1, 3, 2, 32, generator=torch.Generator().manual_seed(12)).bfloat16().float()
OLD = torch.randn(3, 2, 64, 32, generator=torch.Generator().manual_seed(13)).bfloat16().float()


def new(mesh: ttnn.MeshDevice) -> ttnn.Tensor:
    """Return the new rows of three users, sharded."""
    return height_sharded(put(mesh, NEW, ttnn.bfloat16))


@pytest.mark.parametrize("by_tensor", [True, False])
def test_each_user_is_written_at_its_own_position(single: ttnn.MeshDevice, *, by_tensor: bool) -> None:
    cache, positions = put(single, OLD, ttnn.bfloat16), [5, 0, 63]
    where = {"update_idxs_tensor": integers(single, positions)} if by_tensor else {"update_idxs": positions}
    result = UPDATE(cache, new(single), **where)
    expected = OLD.clone()
    for user, position in enumerate(positions):
        expected[user, :, position] = NEW[0, user]

    assert torch.equal(get(cache).float(), expected)
    assert result.buffer is cache.buffer


def test_negative_position_writes_nothing(single: ttnn.MeshDevice) -> None:
    cache = put(single, OLD, ttnn.bfloat16)
    UPDATE(cache, new(single), update_idxs_tensor=integers(single, [-1, 4, -1]))

    assert torch.equal(get(cache).float()[[0, 2]], OLD[[0, 2]])
    assert torch.equal(get(cache).float()[1, :, 4], NEW[0, 1])


def test_written_rows_are_rounded_to_the_cache(single: ttnn.MeshDevice) -> None:
    cache = put(single, OLD, ttnn.bfloat8_b)
    UPDATE(cache, new(single), update_idxs=[1, 1, 1])

    assert torch.equal(get(cache)[:, :, 1], quantise(NEW[0], ttnn.bfloat8_b).float())


def test_update_through_a_page_table(single: ttnn.MeshDevice) -> None:
    cache = put(single, torch.zeros(6, 2, 32, 32), ttnn.bfloat16)
    table = [[5, 0], [1, 2], [3, 4]]
    UPDATE(cache, new(single), update_idxs_tensor=integers(single, [33, 31, 0]), page_table=integers(single, table))
    expected = torch.zeros(6, 2, 32, 32)
    expected[0, :, 1], expected[1, :, 31], expected[3, :, 0] = NEW[0]

    assert torch.equal(get(cache).float(), expected)


@pytest.mark.parametrize("block", [-1, 6])
def test_update_refuses_a_block_that_the_cache_lacks(single: ttnn.MeshDevice, block: int) -> None:
    cache = put(single, torch.zeros(6, 2, 32, 32), ttnn.bfloat16)
    table, last = integers(single, [[5, 0], [1, 2], [3, block]]), integers(single, [0, 0, 40])

    with pytest.raises(RuntimeError, match=rf"page table names block {block}, .* has 6 blocks"):
        UPDATE(cache, new(single), update_idxs_tensor=last, page_table=table)

    UPDATE(cache, new(single), update_idxs_tensor=integers(single, [0, 0, 8]), page_table=table)
    assert torch.equal(get(cache).float()[3, :, 8], NEW[0, 2])


def test_replicated_cache_splits_when_devices_write_different_rows(mesh: ttnn.MeshDevice) -> None:
    cache = put(mesh, torch.zeros(3, 2, 64, 32), ttnn.bfloat16)
    rows = torch.cat([NEW + column for column in range(4)], 3)
    UPDATE(cache, height_sharded(put(mesh, rows, ttnn.bfloat16, dims=(None, 3))), update_idxs=[2, 2, 2])

    for device, got in enumerate(shards(cache)):
        assert torch.equal(got[:, :, 2], rows[0, ..., 32 * (device % 4) : 32 * (device % 4) + 32].bfloat16())


def test_each_row_of_the_mesh_may_write_elsewhere(mesh: ttnn.MeshDevice) -> None:
    cache = put(mesh, OLD, ttnn.bfloat16)
    index = put(
        mesh,
        torch.tensor([1, 1, 1, 9, 9, 9], dtype=torch.int32),
        ttnn.int32,
        dims=(0, None),
        layout=ttnn.ROW_MAJOR_LAYOUT,
    )
    UPDATE(cache, new(mesh), update_idxs_tensor=index)

    for device, position in ((0, 1), (7, 9)):
        got = shards(cache)[device].float()
        assert torch.equal(got[:, :, position], NEW[0])
        assert torch.equal(got[:, :, 10 - position], OLD[:, :, 10 - position])


def test_fill_writes_one_user_from_the_start(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, OLD, ttnn.bfloat16), torch.randn(1, 2, 40, 32).bfloat16()
    ttnn.fill_cache(cache, put(single, rows.float(), ttnn.bfloat16), 1)
    expected = OLD.bfloat16()
    expected[1, :, :40] = rows[0]

    assert torch.equal(get(cache), expected)


def test_fill_through_a_page_table(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, torch.zeros(4, 2, 32, 32), ttnn.bfloat16), torch.randn(1, 2, 40, 32).bfloat16()
    FILL_PAGES(cache, put(single, rows.float(), ttnn.bfloat16), integers(single, [[0, 1], [3, 2]]), batch_idx=1)

    assert torch.equal(get(cache)[3], rows[0, :, :32])
    assert torch.equal(get(cache)[2, :, :8], rows[0, :, 32:])
    assert not get(cache)[[0, 1]].any()


def test_update_cache_writes_one_position_of_every_user(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, OLD, ttnn.bfloat16), torch.randn(1, 2, 3, 32).bfloat16()
    ttnn.update_cache(cache, put(single, rows.float(), ttnn.bfloat16), 7)

    assert torch.equal(get(cache)[:, :, 7], rows[0].transpose(0, 1))
    assert torch.equal(get(cache)[:, :, 8:].float(), OLD[:, :, 8:])


def bf16(mesh: ttnn.MeshDevice, *shape: int) -> ttnn.Tensor:
    """Return ones."""
    return put(mesh, torch.ones(shape), ttnn.bfloat16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), put(m, NEW, ttnn.bfloat16), update_idxs=[1] * 3),
            "input tensor must be sharded",
        ),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), height_sharded(put(m, NEW, ttnn.bfloat8_b)), update_idxs=[1] * 3),
            "must be FLOAT32, BFLOAT16, got BFLOAT8_B",
        ),
        (
            lambda m: UPDATE(bf16(m, 4, 2, 64, 32), new(m), update_idxs=[1] * 3),
            r"batch of input Shape\(\[1, 3, 2, 32\]\) must equal that of cache",
        ),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 64), new(m), update_idxs=[1] * 3),
            "width of input .* must match that of cache",
        ),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), new(m), update_idxs=[1] * 2),
            "2 update indices should match batch size 3",
        ),
        (lambda m: UPDATE(bf16(m, 3, 2, 64, 32), new(m)), "exactly one of update_idxs and update_idxs_tensor"),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), new(m), update_idxs=[64, 0, 0]),
            "index 64 lies outside a cache of 64 positions, the real library writes past",
        ),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), new(m), update_idxs_tensor=integers(m, [1] * 3, ttnn.uint32)),
            "must be INT32, got UINT32",
        ),
        (
            lambda m: UPDATE(bf16(m, 6, 2, 32, 32), new(m), update_idxs=[0] * 3, page_table=integers(m, [[0]] * 3)),
            "paged cache requires update_idxs tensor",
        ),
        (
            lambda m: UPDATE(bf16(m, 3, 2, 64, 32), new(m), update_idxs=[1] * 3, mesh_coords={1}),
            "mesh_coords crashes the real library",
        ),
        (
            lambda m: ttnn.fill_cache(bf16(m, 1, 2, 64, 32), bf16(m, 1, 2, 32, 32), 1),
            "batch index 1 must be less than the 1 users",
        ),
        (
            lambda m: ttnn.fill_cache(bf16(m, 1, 2, 64, 32), bf16(m, 1, 2, 96, 32), 0),
            "96 positions from 0 on do not fit a cache of 64",
        ),
        (lambda m: ttnn.fill_cache(bf16(m, 1, 2, 64, 32), bf16(m, 2, 2, 32, 32), 0), "batch size must be 1, got 2"),
        (
            lambda m: ttnn.fill_cache(put(m, OLD, ttnn.bfloat8_b), bf16(m, 1, 2, 32, 32), 0),
            "input dtype BFLOAT16 must equal cache dtype BFLOAT8_B",
        ),
        (
            lambda m: FILL_PAGES(bf16(m, 4, 2, 32, 32), bf16(m, 1, 2, 96, 32), integers(m, [[0, 1]])),
            "96 positions must fit 2 blocks of 32",
        ),
        (
            lambda m: FILL_PAGES(bf16(m, 4, 2, 32, 32), bf16(m, 1, 2, 32, 32), integers(m, [[0]]), batch_idx=2),
            "batch_idx 2 must be within the page_table of 1 rows",
        ),
        (lambda m: ttnn.update_cache(bf16(m, 3, 2, 64, 32), bf16(m, 1, 1, 3, 32), 0), "heads of input .* must equal"),
        (
            lambda m: ttnn.update_cache(bf16(m, 3, 2, 64, 32), bf16(m, 1, 2, 3, 32), 64),
            "update_idx 64 lies outside a cache of 64",
        ),
    ],
)
def test_cache_refuses(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(single)


def test_users_of_a_shared_cache_write_into_its_one_user(single: ttnn.MeshDevice) -> None:
    cache = put(single, OLD[:1], ttnn.bfloat16)
    UPDATE(cache, new(single), update_idxs=[4, 5, 6], share_cache=True)

    assert torch.equal(get(cache)[0, :, 4:7].float(), NEW[0].transpose(0, 1))
    with pytest.raises(RuntimeError, match="share_cache not supported with paged cache"):
        UPDATE(
            bf16(single, 6, 2, 32, 32),
            new(single),
            update_idxs_tensor=integers(single, [0] * 3),
            page_table=integers(single, [[0]] * 3),
            share_cache=True,
        )


def test_update_cache_takes_rows_from_an_offset_on(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, OLD, ttnn.bfloat16), torch.randn(1, 2, 32, 32).bfloat16()
    ttnn.update_cache(cache, put(single, rows.float(), ttnn.bfloat16), 7, batch_offset=5)

    assert torch.equal(get(cache)[:, :, 7], rows[0, :, 5:8].transpose(0, 1))
    with pytest.raises(RuntimeError, match="batch_offset 30 and 3 users must not exceed 32"):
        ttnn.update_cache(cache, put(single, rows.float(), ttnn.bfloat16), 7, batch_offset=30)


def test_fill_starts_at_a_tile(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, OLD, ttnn.bfloat16), torch.randn(1, 2, 32, 32).bfloat16()
    ttnn.fill_cache(cache, put(single, rows.float(), ttnn.bfloat16), 1, update_idx=32)

    assert torch.equal(get(cache)[1, :, 32:], rows[0])
    assert torch.equal(get(cache)[1, :, :32].float(), OLD[1, :, :32])
    with pytest.raises(RuntimeError, match="update_idx 5 must be a multiple of 32"):
        ttnn.fill_cache(cache, put(single, rows.float(), ttnn.bfloat16), 1, update_idx=5)


def test_paged_fill_writes_each_of_a_batch_to_its_row(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, torch.zeros(4, 2, 32, 32), ttnn.bfloat16), torch.randn(2, 2, 32, 32).bfloat16()
    table = integers(single, [[0], [3], [2]])
    FILL_PAGES(cache, put(single, rows.float(), ttnn.bfloat16), table, batch_idx_tensor=integers(single, [2, 1]))

    assert torch.equal(get(cache)[2], rows[0])
    assert torch.equal(get(cache)[3], rows[1])
    assert not get(cache)[:2].any()


def test_paged_fill_goes_round_a_ring_of_positions(single: ttnn.MeshDevice) -> None:
    cache, rows = put(single, torch.zeros(4, 2, 32, 32), ttnn.bfloat16), torch.randn(1, 2, 96, 32).bfloat16()
    table = integers(single, [[1, 3]])
    FILL_PAGES(cache, put(single, rows.float(), ttnn.bfloat16), table, cache_position_modulo=64)

    assert torch.equal(get(cache)[1], rows[0, :, 64:])
    assert torch.equal(get(cache)[3], rows[0, :, 32:64])

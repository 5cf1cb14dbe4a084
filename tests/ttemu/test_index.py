"""Look-ups and scatters address each device's own values."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, integers, put, shards

TABLE = torch.randn(100, 64, generator=torch.Generator().manual_seed(10)).bfloat16()
X = torch.randn(4, 64)


def test_embedding_returns_rank_3(single: ttnn.MeshDevice) -> None:
    index = torch.randint(0, 100, (2, 7), dtype=torch.int32)
    rows = ttnn.embedding(
        integers(single, index.tolist(), ttnn.uint32), put(single, TABLE, ttnn.bfloat16), layout=ttnn.TILE_LAYOUT
    )

    assert torch.equal(get(rows), TABLE[index.long()])
    assert (rows.dtype, rows.layout) == (ttnn.bfloat16, ttnn.TILE_LAYOUT)


def test_padding_index_changes_no_row(single: ttnn.MeshDevice) -> None:
    table = put(single, TABLE, ttnn.bfloat16)

    assert torch.equal(get(ttnn.embedding(integers(single, [[0]], ttnn.uint32), table, padding_idx=0)), TABLE[:1][None])


def test_embedding_looks_the_first_rows_up_only(single: ttnn.MeshDevice) -> None:
    rows = ttnn.embedding(integers(single, [[[5], [9]]], ttnn.uint32), put(single, TABLE, ttnn.bfloat16))

    assert torch.equal(get(rows), TABLE[5:6][None])


def test_embedding_of_a_sharded_table_stays_sharded(mesh: ttnn.MeshDevice) -> None:
    rows = ttnn.embedding(integers(mesh, [[5, 9]], ttnn.uint32), put(mesh, TABLE, ttnn.bfloat16, dims=(None, 1)))

    assert all(map(torch.equal, shards(rows), [part[[5, 9]][None] for part in TABLE.chunk(4, 1)] * 2))


def test_embedding_of_sharded_indices_looks_up_its_own(mesh: ttnn.MeshDevice) -> None:
    index = put(
        mesh,
        torch.tensor([[1, 2], [3, 4]], dtype=torch.int32),
        ttnn.uint32,
        dims=(0, None),
        layout=ttnn.ROW_MAJOR_LAYOUT,
    )
    rows = shards(ttnn.embedding(index, put(mesh, TABLE, ttnn.bfloat16, dims=(None, 1))))

    assert torch.equal(rows[0][0], TABLE[[1, 2], :16])
    assert torch.equal(rows[7][0], TABLE[[3, 4], 48:])


@pytest.mark.parametrize(
    ("index_dtype", "table_dtype", "value", "message"),
    [
        (ttnn.int32, ttnn.bfloat16, 0, "input must be UINT32 or BFLOAT16, got INT32"),
        (ttnn.uint32, ttnn.float32, 0, "weight must be BFLOAT16, got FLOAT32"),
        (ttnn.uint32, ttnn.bfloat16, 100, "an index lies outside the 100 rows; the real library reads past them"),
    ],
)
def test_embedding_refuses(
    single: ttnn.MeshDevice, index_dtype: ttnn.DataType, table_dtype: ttnn.DataType, value: int, message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.embedding(integers(single, [[value]], index_dtype), put(single, TABLE.float(), table_dtype))


def test_scatter_equals_torch(single: ttnn.MeshDevice) -> None:
    index, source = torch.randint(0, 64, (4, 3)), torch.randn(4, 5)
    result = ttnn.scatter(
        put(single, X, ttnn.bfloat16), 1, put(single, index.int(), ttnn.uint16), put(single, source, ttnn.bfloat16)
    )

    expected = X.bfloat16().scatter(1, index, source.bfloat16())
    assert torch.equal(get(result), expected)


@pytest.mark.parametrize(("reduce", "join"), [("add", operator.add), ("multiply", operator.mul)])
def test_scatter_reduces(single: ttnn.MeshDevice, reduce: str, join: Callable[[float, float], float]) -> None:
    index, source = torch.randint(0, 64, (4, 3)), torch.randn(4, 3)
    given = put(single, X, ttnn.bfloat16), 1, put(single, index.int(), ttnn.uint16), put(single, source, ttnn.bfloat16)

    expected = X.bfloat16().float()
    for row in range(4):
        for at, value in zip(index[row], source.bfloat16().float()[row], strict=True):
            expected[row, at] = join(expected[row, at], value)
    assert torch.equal(get(ttnn.scatter(*given, reduce=reduce)), expected.bfloat16())


def test_scatter_of_sharded_indices_into_replicated_zeros(mesh: ttnn.MeshDevice) -> None:
    index = put(mesh, torch.tensor([[1], [2]], dtype=torch.int32), ttnn.uint16, dims=(0, None))
    result = ttnn.scatter(
        put(mesh, torch.zeros(1, 4), ttnn.bfloat16), 1, index, put(mesh, torch.ones(1, 1), ttnn.bfloat16)
    )

    assert [part.tolist() for part in shards(result)[::4]] == [[[0, 1, 0, 0]], [[0, 0, 1, 0]]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: ttnn.scatter(put(m, X, ttnn.bfloat16), 1, put(m, X[:, :2]), put(m, X[:, :2], ttnn.bfloat16)),
            "index must be of an integer dtype",
        ),
        (
            lambda m: ttnn.scatter(
                put(m, X[:1], ttnn.bfloat16), 1, put(m, X[:2].int(), ttnn.int32), put(m, X[:2], ttnn.bfloat16)
            ),
            "must not be larger than",
        ),
        (
            lambda m: ttnn.scatter(put(m, X), 1, put(m, X.int(), ttnn.int32), put(m, X)),
            "doesn't work for fp32 in TILE layout",
        ),
        (
            lambda m: ttnn.gather(put(m, X), 1, put(m, X.int(), ttnn.int32)),
            "must be of type UINT32 or UINT16. Got: INT32",
        ),
        (lambda m: ttnn.plus_one(put(m, X)), "expected INT32 or UINT32, got FLOAT32"),
    ],
)
def test_indexed_op_refuses(single: ttnn.MeshDevice, call: object, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call(single)


def test_gather_equals_torch(single: ttnn.MeshDevice) -> None:
    index = torch.randint(0, 64, (4, 3))

    assert torch.equal(get(ttnn.gather(put(single, X), 1, put(single, index.int(), ttnn.uint16))), X.gather(1, index))


def test_plus_one_adds_in_place_and_may_spare_negatives(single: ttnn.MeshDevice) -> None:
    counter = integers(single, [3, -1])
    ttnn.plus_one(counter, skip_negative_entries=True)
    assert get(counter).tolist() == [4, -1]

    ttnn.plus_one(counter)
    assert get(counter).tolist() == [5, 0]

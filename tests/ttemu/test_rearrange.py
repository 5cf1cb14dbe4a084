"""Reshapes, slices and concatenations move the values that torch moves."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put
from ttemu.formats import quantise

X = torch.randn(2, 3, 40, 64, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("shape", [(2, 3, 64, 40), (6, 40, 64), (15360,), (-1, 64), (1, 2, 3, 40, 64)])
def test_reshape_keeps_the_order_of_values(single: ttnn.MeshDevice, shape: tuple[int, ...]) -> None:
    assert torch.equal(get(ttnn.reshape(put(single, X), shape)), X.reshape(shape))
    assert torch.equal(get(ttnn.reshape(put(single, X), ttnn.Shape(X.reshape(shape).shape))), X.reshape(shape))


def test_reshape_that_tears_blocks_quantises_again(single: ttnn.MeshDevice) -> None:
    source = put(single, X, ttnn.bfloat4_b)
    stored = get(source)

    assert torch.equal(get(ttnn.reshape(source, (-1, 40))), quantise(stored.reshape(-1, 40), ttnn.bfloat4_b).float())
    assert torch.equal(get(ttnn.reshape(source, (-1, 64))), stored.reshape(-1, 64))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((-1, -1), "cannot have more than 1 elements that is set to -1"),
        ((3, 64), r"has 15360 elements, not those of \[3, 64\]"),
    ],
)
def test_reshape_to_another_volume_is_refused(single: ttnn.MeshDevice, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.reshape(put(single, X), shape)


def test_reshape_with_padding_takes_the_first_rows(single: ttnn.MeshDevice) -> None:
    rows = X[:1, :1, :32]

    assert torch.equal(get(ttnn.reshape(put(single, rows), (1, 1, 5, 64), (1, 1, 32, 64))), rows[:, :, :5])
    longer = get(ttnn.reshape(put(single, rows[:, :, :5]), (1, 1, 8, 64), (1, 1, 32, 64)))
    assert torch.equal(longer[:, :, :5], rows[:, :, :5])
    assert not longer[:, :, 5:].any()


@pytest.mark.parametrize(
    ("shape", "padded", "message"),
    [
        ((1, 2, 5, 64), (1, 2, 32, 64), "only another number of rows is emulated"),
        ((1, 1, 80, 64), (1, 1, 96, 64), "MeshBuffer must be large enough"),
    ],
)
def test_reshape_with_padding_refuses_the_rest(
    single: ttnn.MeshDevice, shape: tuple[int, ...], padded: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.reshape(put(single, X[:1, :1]), shape, padded)


def test_ones_come_and_go(single: ttnn.MeshDevice) -> None:
    flat = put(single, X[0, 0])

    assert ttnn.unsqueeze(flat, 0).shape == (1, 40, 64)
    assert ttnn.unsqueeze(flat, -1).shape == (40, 64, 1)
    assert ttnn.unsqueeze_to_4D(flat).shape == (1, 1, 40, 64)
    assert ttnn.squeeze(ttnn.unsqueeze_to_4D(flat), [0, 1]).shape == (40, 64)
    assert ttnn.squeeze(ttnn.unsqueeze_to_4D(flat)).shape == (40, 64)
    assert ttnn.squeeze(flat, 0).shape == (40, 64)


def test_dims_turn(single: ttnn.MeshDevice) -> None:
    assert torch.equal(get(ttnn.transpose(put(single, X), 1, -1)), X.transpose(1, -1))
    assert torch.equal(get(ttnn.permute(put(single, X), (3, 1, 0, 2))), X.permute(3, 1, 0, 2))
    assert torch.equal(
        get(ttnn.transpose(put(single, X, ttnn.bfloat8_b), 2, 3)),
        quantise(quantise(X, ttnn.bfloat8_b).float().transpose(2, 3), ttnn.bfloat8_b).float(),
    )


@pytest.mark.parametrize(
    ("dims", "error", "message"),
    [
        ((0, 1, 2), RuntimeError, r"3 dims \[0, 1, 2\] for a tensor of rank 4"),
        ((0, 1, 2, 4), RuntimeError, "dim 4 is out of range"),
        ((0, 1, 1, 2), NotImplementedError, "duplicate dims"),
    ],
)
def test_permute_refuses(single: ttnn.MeshDevice, dims: tuple[int, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ttnn.permute(put(single, X), dims)


def test_repeats(single: ttnn.MeshDevice) -> None:
    small = X[0, :, :2, :5]

    assert torch.equal(get(ttnn.repeat(put(single, small), (2, 1, 3))), small.repeat(2, 1, 3))
    assert torch.equal(get(ttnn.repeat(put(single, small), ttnn.Shape([2]))), small.repeat(1, 1, 2))
    assert torch.equal(get(ttnn.repeat(put(single, small), repeat_dims=(4, 1, 1, 1))), small.repeat(4, 1, 1, 1))
    assert torch.equal(get(ttnn.repeat_interleave(put(single, small), 3, dim=1)), small.repeat_interleave(3, 1))


@pytest.mark.parametrize("dim", [0, 2, -1])
def test_concat_and_split_are_inverse(single: ttnn.MeshDevice, dim: int) -> None:
    tensor = put(single, X)
    whole = ttnn.concat([tensor, tensor], dim=dim)
    pieces = ttnn.split(whole, X.shape[dim], dim)

    assert torch.equal(get(whole), torch.cat([X, X], dim))
    assert all(torch.equal(get(piece), X) for piece in pieces)
    assert [get(piece).shape for piece in ttnn.chunk(tensor, 3, dim)] == [piece.shape for piece in X.chunk(3, dim)]


def test_concat_mixes_replicated_and_sharded(mesh: ttnn.MeshDevice) -> None:
    whole = ttnn.concat([put(mesh, X), put(mesh, X, dims=(None, 3))], dim=3)

    assert torch.equal(get(whole), torch.cat([X, X[..., :16]], 3))


@pytest.mark.parametrize(
    ("dtypes", "width", "expected"),
    [
        ((ttnn.bfloat8_b, ttnn.bfloat8_b), 64, ttnn.bfloat8_b),
        ((ttnn.bfloat8_b, ttnn.bfloat8_b), 40, ttnn.bfloat16),
        ((ttnn.bfloat16, ttnn.bfloat8_b), 40, None),
        ((ttnn.bfloat16, ttnn.bfloat8_b), 64, None),
        ((ttnn.bfloat4_b, ttnn.bfloat4_b), 64, ttnn.bfloat4_b),
        ((ttnn.bfloat4_b, ttnn.bfloat4_b), 40, None),
        ((ttnn.float32, ttnn.bfloat16), 64, None),
    ],
)
def test_concat_keeps_block_floats_on_whole_tiles(
    single: ttnn.MeshDevice, dtypes: tuple[ttnn.DataType, ...], width: int, expected: ttnn.DataType | None
) -> None:
    pieces = [put(single, X[..., :width], dtype) for dtype in dtypes]
    if expected is None:
        with pytest.raises(RuntimeError, match=r"must have one dtype|BFLOAT4_B cannot be in ROW_MAJOR"):
            ttnn.concat(pieces, dim=3)
    else:
        assert ttnn.concat(pieces, dim=3).dtype is expected


def test_concat_of_unaligned_rows_mixes_bfloat16_and_bfloat8_b(single: ttnn.MeshDevice) -> None:
    pieces = [put(single, X[0, 0, :2], dtype) for dtype in (ttnn.bfloat16, ttnn.bfloat8_b)]

    assert ttnn.concat(pieces, dim=0).dtype is ttnn.bfloat16


def test_concat_beside_rows_is_in_rows(single: ttnn.MeshDevice) -> None:
    whole = ttnn.concat([put(single, X), put(single, X, layout=ttnn.ROW_MAJOR_LAYOUT)], 0)

    assert whole.layout is ttnn.ROW_MAJOR_LAYOUT
    assert torch.equal(get(whole), torch.cat([X, X]))


def test_concat_refuses(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="expected a non-empty list of Tensors"):
        ttnn.concat([], 0)
    with pytest.raises(RuntimeError, match="All dimensions must be the same size except"):
        ttnn.concat([put(single, X), put(single, X[:, :2])], 2)
    with pytest.raises(RuntimeError, match="expected all input tensors to be in one layout"):
        ttnn.concat([put(single, X), put(single, X, layout=ttnn.ROW_MAJOR_LAYOUT)], 2)
    with pytest.raises(NotImplementedError, match="groups"):
        ttnn.concat([put(single, X), put(single, X)], 0, groups=2)


def test_uneven_split_sizes_must_add_up(single: ttnn.MeshDevice) -> None:
    assert [tuple(piece.shape)[3] for piece in ttnn.split(put(single, X), [20, 44], 3)] == [20, 44]
    with pytest.raises(RuntimeError, match=r"sizes \[20, 43\] do not add up to 64"):
        ttnn.split(put(single, X), [20, 43], 3)


@pytest.mark.parametrize(
    ("start", "end", "step", "key"),
    [
        ([0, 1, 3, 5], [2, 3, 40, 64], None, (slice(0, 2), slice(1, 3), slice(3, 40), slice(5, 64))),
        ([0, 0, 0, 0], [1, 1, -8, -1], None, (slice(0, 1), slice(0, 1), slice(0, 32), slice(0, 63))),
        ([0, 0, 1, 0], [2, 3, 40, 64], [1, 2, 3, 1], (slice(None), slice(0, 3, 2), slice(1, 40, 3))),
        ([0, 0, -8, 0], [2, 3, 40, 64], None, (slice(None), slice(None), slice(32, 40))),
    ],
)
def test_slice_equals_torch(
    single: ttnn.MeshDevice, start: list[int], end: list[int], step: list[int] | None, key: tuple[slice, ...]
) -> None:
    assert torch.equal(get(ttnn.slice(put(single, X), start, end, step)), X[key])


def test_slice_into_the_padding_reads_zeros(single: ttnn.MeshDevice) -> None:
    part = get(ttnn.slice(put(single, X[0, 0]), [32, 0], [42, 64]))

    assert torch.equal(part[:8], X[0, 0, 32:])
    assert not part[8:].any()


def test_vector_is_sliced_in_rows(single: ttnn.MeshDevice) -> None:
    vector = put(single, X[0, 0, 0], ttnn.bfloat8_b)

    assert vector[:32].dtype is ttnn.bfloat16
    with pytest.raises(RuntimeError, match="strided slice is not supported for dtype BFLOAT8_B"):
        vector[::2]


def test_negative_step_leaves_nothing(single: ttnn.MeshDevice) -> None:
    assert tuple(put(single, X)[:, :, ::-1].shape) == (2, 3, 0, 64)


def test_whole_slice_moves_where_told(single: ttnn.MeshDevice) -> None:
    tensor = put(single, X[0, 0])
    moved = ttnn.slice(tensor, [0, 0], [40, 64], memory_config=ttnn.L1_MEMORY_CONFIG)

    assert moved.memory_config() == ttnn.L1_MEMORY_CONFIG
    assert torch.equal(get(moved), X[0, 0])


def test_slice_by_four_keywords(single: ttnn.MeshDevice) -> None:
    part = ttnn.slice(put(single, X), starts=[0, 1, 3, 5], ends=[2, 3, 40, 64], steps=[1, 1, 2, 1])

    assert torch.equal(get(part), X[0:2, 1:3, 3:40:2, 5:64])
    with pytest.raises(TypeError, match="four whole numbers"):
        ttnn.slice(put(single, X[0, 0]), starts=[0, 0], ends=[2, 64], steps=[1, 1])


def test_slice_from_inside_a_tile_ends_at_the_extent(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="Ends 42 must be less than or equal to the shape of the tensor 40"):
        ttnn.slice(put(single, X[0, 0]), [38, 0], [42, 64])


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ([0, 0], [65, 64], r"Ends 65 must be less than or equal to the shape of the tensor 64 \(dim 0\)"),
        ([20, 0], [10, 64], "End 10 must be greater than or equal to start 20"),
        ([0, 0], [10], "must have the same size as the rank 2"),
    ],
)
def test_slice_refuses(single: ttnn.MeshDevice, start: list[int], end: list[int], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.slice(put(single, X[0, 0]), start, end)


def test_slice_inside_a_tile_turns_bfloat8_b_into_bfloat16(single: ttnn.MeshDevice) -> None:
    source = put(single, X, ttnn.bfloat8_b)

    assert ttnn.slice(source, [0, 0, 1, 0], [2, 3, 40, 64]).dtype is ttnn.bfloat16
    assert ttnn.slice(source, [1, 0, 32, 32], [2, 3, 40, 64]).dtype is ttnn.bfloat8_b
    with pytest.raises(RuntimeError, match="BFLOAT4_B cannot start inside a tile"):
        ttnn.slice(put(single, X, ttnn.bfloat4_b), [0, 0, 1, 0], [2, 3, 40, 64])


@pytest.mark.parametrize(
    "key",
    [0, -1, (1, 2), slice(0, 1), (..., slice(3, 7)), (0, ..., 5), (slice(None), 1, slice(0, 40, 2)), (1, 2, 3, 4)],
)
def test_indexing_equals_torch(single: ttnn.MeshDevice, key: object) -> None:
    assert torch.equal(get(put(single, X)[key]), X[key])


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (None, TypeError, "not iterable"),
        ("a", TypeError, "Invalid slice type: 'a'"),
        ((0,) * 5, IndexError, "Too many indices for tensor of dimension 4"),
        ((0, 0, slice(0, 100)), RuntimeError, "Ends 100 must be less than or equal"),
    ],
)
def test_indexing_refuses(single: ttnn.MeshDevice, key: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        put(single, X)[key]


def test_padding_surrounds_with_a_value(single: ttnn.MeshDevice) -> None:
    behind, rows = put(single, X), put(single, X, layout=ttnn.ROW_MAJOR_LAYOUT)

    assert torch.equal(
        get(ttnn.pad(behind, [(0, 1), (0, 2)], value=3.0)), torch.nn.functional.pad(X, (0, 2, 0, 1), value=3.0)
    )
    assert torch.equal(
        get(ttnn.pad(rows, ((1, 0), (0, 0), (0, 0), (2, 1)), 0.5)),
        torch.nn.functional.pad(X, (2, 1, 0, 0, 0, 0, 1, 0), value=0.5),
    )
    assert torch.equal(
        get(ttnn.pad(rows, [2, 3, 64, 64], [0, 0, 4, 0], 0.0)), torch.nn.functional.pad(X, (0, 0, 4, 20))
    )


def test_tiles_are_not_padded_in_front(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="tile padding does not support front padding"):
        ttnn.pad(put(single, X), [(1, 0), (0, 0)], value=0)


@pytest.mark.parametrize("arguments", [([(0, 1)],), ([(0, -1)], 0.0), ([(0, 1)], "0")])
def test_padding_of_another_form_is_a_type_error(single: ttnn.MeshDevice, arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match=r"ttnn.pad: incompatible function arguments"):
        ttnn.pad(put(single, X), *arguments)

"""Products are made in float32, once per distinct operand, and rounded to the dtype of the first."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn
from tests.ttemu.helpers import get, put, shards
from ttemu.ops import sparse
from ttemu.ops.matmul import multiply_matrices

# Sums of 64 products in another order differ in the last bits of float32.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
X, W = torch.randn(1, 1, 32, 64), torch.randn(1, 1, 64, 96)


def program(
    per_core_n: int, cols: int, rows: int, **settings: object
) -> ttnn.MatmulMultiCoreReuseMultiCast1DProgramConfig:
    """Return a program config for ``cols`` x ``rows`` cores."""
    known = {"out_block_w": per_core_n} | settings
    return ttnn.MatmulMultiCoreReuseMultiCast1DProgramConfig(
        compute_with_storage_grid_size=ttnn.CoreCoord(cols, rows),
        in0_block_w=1,
        out_subblock_h=1,
        out_subblock_w=1,
        per_core_M=1,
        per_core_N=per_core_n,
        fuse_batch=False,
        mcast_in0=True,
        **known,
    )


ONE_CORE = program(3, 1, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, 1, 4, 1, 3, 5), (1, 1, 4, 1, 5, 2)),
        ((4, 1, 2, 3, 5), (1, 8, 1, 5, 2)),
        ((4, 8, 2, 3, 5), (1, 8, 1, 5, 2)),
        ((1, 8, 2, 3, 5), (4, 1, 2, 5, 2)),
        ((4, 1, 1, 3, 5), (1, 1, 1, 5, 2)),
        ((1, 1, 6, 3, 5), (1, 8, 1, 5, 2)),
        ((1, 1, 1, 3, 5), (4, 8, 6, 5, 2)),
    ],
)
def test_broadcast_products_equal_torch(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    a, b = torch.randn(first), torch.randn(second)

    torch.testing.assert_close(multiply_matrices(a, b), torch.matmul(a, b), **CLOSE)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((32, 64), (64, 96)),
        ((3, 32, 64), (64, 96)),
        ((1, 4, 32, 64), (1, 1, 64, 96)),
        ((1, 1, 32, 64), (2, 4, 64, 96)),
        ((2, 4, 32, 64), (2, 4, 64, 96)),
    ],
)
def test_matmul_equals_torch(single: ttnn.MeshDevice, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    left, right = torch.randn(a), torch.randn(b)

    torch.testing.assert_close(get(ttnn.matmul(put(single, left), put(single, right))), left @ right, **CLOSE)


def test_transposed_operands(single: ttnn.MeshDevice) -> None:
    product = ttnn.matmul(
        put(single, X.transpose(2, 3)), put(single, W.transpose(2, 3)), transpose_a=True, transpose_b=True
    )

    torch.testing.assert_close(get(product), X @ W, **CLOSE)


@pytest.mark.parametrize(("a", "b", "expected"), [((64,), (64, 96), (96,)), ((32, 64), (64,), (32,))])
def test_vector_drops_its_dim(
    single: ttnn.MeshDevice, a: tuple[int, ...], b: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    left, right = torch.randn(a), torch.randn(b)
    product = get(ttnn.matmul(put(single, left), put(single, right)))

    assert product.shape == expected
    torch.testing.assert_close(product, left @ right, **CLOSE)


@pytest.mark.parametrize("bias_shape", [(96,), (1, 96), (1, 1, 1, 96), (1, 1, 32, 96)])
def test_linear_adds_a_bias_before_rounding(single: ttnn.MeshDevice, bias_shape: tuple[int, ...]) -> None:
    bias = torch.randn(bias_shape)
    exact = X.bfloat16().float() @ W.bfloat16().float() + bias.bfloat16().float()

    result = ttnn.linear(
        put(single, X, ttnn.bfloat16), put(single, W, ttnn.bfloat16), bias=put(single, bias, ttnn.bfloat16)
    )
    # One rounding to bfloat16, half a unit of 2**-8, after sums that differ in their last float32 bits.
    torch.testing.assert_close(get(result).float(), exact, rtol=2**-8, atol=1e-5)


def test_activation_is_applied_last(single: ttnn.MeshDevice) -> None:
    result = ttnn.linear(put(single, X), put(single, W), bias=put(single, torch.ones(96)), activation="relu")

    torch.testing.assert_close(get(result), torch.relu(X @ W + 1), **CLOSE)


def test_result_goes_to_dram_unless_told_otherwise(single: ttnn.MeshDevice) -> None:
    in_l1 = ttnn.to_memory_config(put(single, X), ttnn.L1_MEMORY_CONFIG)

    assert ttnn.matmul(in_l1, put(single, W)).memory_config() == ttnn.DRAM_MEMORY_CONFIG


def test_inner_mismatch_says_both_sizes(single: ttnn.MeshDevice) -> None:
    with pytest.raises(
        RuntimeError, match=r"width of the first tensor must be equal to the height.* width=64 height=32"
    ):
        ttnn.matmul(put(single, X), put(single, X))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((1, 4, 32, 64), (1, 2, 64, 96), r"bmm \(non-bcast matmul\) expects"),
        ((2, 4, 32, 64), (1, 4, 64, 96), r"bmm \(non-bcast matmul\) expects"),
        ((2, 4, 32, 64), (4, 64, 96), "requires inputs of the same rank"),
        ((32, 64), (1, 4, 64, 96), "front dimensions need to be 1"),
    ],
)
def test_batches_that_ttnn_does_not_broadcast_are_refused(
    single: ttnn.MeshDevice, a: tuple[int, ...], b: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.matmul(put(single, torch.ones(a)), put(single, torch.ones(b)))


def test_row_major_and_integers_are_refused(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="must be in TILE layout, got ROW_MAJOR"):
        ttnn.matmul(put(single, X, layout=ttnn.ROW_MAJOR_LAYOUT), put(single, W))
    with pytest.raises(RuntimeError, match="unsupported data format INT32"):
        ttnn.matmul(put(single, X.int(), ttnn.int32), put(single, W))


@pytest.mark.parametrize(
    ("layout", "shard", "cores"),
    [(ttnn.L1_WIDTH_SHARDED_MEMORY_CONFIG, [32, 32], 3), (ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG, [32, 96], 1)],
)
def test_open_shards_are_chosen(
    single: ttnn.MeshDevice, layout: ttnn.MemoryConfig, shard: list[int], cores: int
) -> None:
    spec = ttnn.matmul(put(single, X), put(single, W), memory_config=layout).memory_config().shard_spec

    assert spec is not None
    assert (spec.shape, spec.num_cores()) == (shard, cores)


@pytest.mark.parametrize(
    ("rows", "cols", "core_grid", "shard", "cores"),
    [
        (64, 96, None, [64, 96], 1),
        (640, 1920, None, [512, 512], 8),
        (160, 288, ttnn.CoreGrid(y=7, x=8), [32, 64], 25),
    ],
)
def test_open_block_shards_are_chosen(
    single: ttnn.MeshDevice, rows: int, cols: int, core_grid: ttnn.CoreGrid | None, shard: list[int], cores: int
) -> None:
    a, b = put(single, torch.ones(rows, 32)), put(single, torch.ones(32, cols))
    result = ttnn.matmul(a, b, memory_config=ttnn.L1_BLOCK_SHARDED_MEMORY_CONFIG, core_grid=core_grid)

    spec = result.memory_config().shard_spec
    assert (list(spec.shape), spec.num_cores()) == (shard, cores)


def test_product_cut_along_one_direction_is_no_block(single: ttnn.MeshDevice) -> None:
    a, b = put(single, torch.ones(32, 32)), put(single, torch.ones(32, 640))
    with pytest.raises(RuntimeError, match="must not exceed the cores"):
        ttnn.matmul(a, b, memory_config=ttnn.L1_BLOCK_SHARDED_MEMORY_CONFIG)
    with pytest.raises(NotImplementedError, match="cut along one direction"):
        ttnn.matmul(a, b, memory_config=ttnn.L1_BLOCK_SHARDED_MEMORY_CONFIG, core_grid=ttnn.CoreGrid(y=2, x=2))


def test_left_operand_is_kept_for_batches_only_from_dram(single: ttnn.MeshDevice) -> None:
    x, weights = torch.randn(1, 32, 32), torch.randn(2, 32, 32)
    a, b = put(single, x), put(single, weights)

    torch.testing.assert_close(get(ttnn.matmul(a, b)), x @ weights, **CLOSE)
    with pytest.raises(RuntimeError, match="expects input tensors of shapes"):
        ttnn.matmul(a, b, memory_config=ttnn.L1_MEMORY_CONFIG)
    with pytest.raises(RuntimeError, match="expects input tensors of shapes"):
        ttnn.matmul(a, b, core_grid=ttnn.CoreGrid(y=2, x=2))


def test_weight_shared_by_rows_is_not_copied(mesh: ttnn.MeshDevice) -> None:
    x, w = torch.randn(2, 32, 64), torch.randn(64, 96)
    product = ttnn.matmul(put(mesh, x, dims=(0, None)), put(mesh, w, dims=(None, 1)))
    expected = [row @ col for row in x.split(1) for col in w.chunk(4, 1)]

    for got, want in zip(shards(product), expected, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


@pytest.mark.parametrize("wanted", [[1, 4, 6], [0], list(range(8)), []])
def test_sparse_product_is_zero_where_it_is_not_wanted(single: ttnn.MeshDevice, wanted: list[int]) -> None:
    weights, mask = torch.randn(1, 8, 64, 96), torch.zeros(1, 1, 1, 8)
    mask[..., wanted] = 0.5
    sparsity = put(single, mask, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    result = ttnn.sparse_matmul(
        put(single, X), put(single, weights), sparsity=sparsity, nnz=len(wanted), program_config=ONE_CORE
    )
    expected = (X @ weights * (mask != 0).view(1, 8, 1, 1)).view(1, 1, 1, 8, 32, 96)
    torch.testing.assert_close(get(result), expected, **CLOSE)


def test_shared_weight_enters_the_product_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Size, torch.Size]] = []
    plain = torch.matmul

    def watched(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        seen.append((first.shape, second.shape))
        return plain(first, second)

    monkeypatch.setattr(torch, "matmul", watched)
    multiply_matrices(torch.ones(4, 8, 1, 3, 5), torch.ones(1, 8, 1, 5, 2))

    # The four mesh rows joined the matrix rows; left apart, torch would copy the weight for each of them.
    assert seen == [((8, 1, 4 * 3, 5), (8, 1, 5, 2))]


# Matrices of fewer elements are multiplied together, others one by one.
TOGETHER_OR_NOT = pytest.mark.parametrize("large", [1 << 15, 1])


@TOGETHER_OR_NOT
def test_paired_devices_may_want_different_pairs(
    mesh: ttnn.MeshDevice, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(sparse, "_LARGE", large)
    values, weights, mask = torch.randn(2, 8, 32, 64), torch.randn(1, 8, 64, 96), torch.zeros(2, 1, 1, 8)
    mask[0, ..., 1] = mask[1, ..., 6] = 1
    sparsity = put(mesh, mask, ttnn.bfloat16, dims=(0, None), layout=ttnn.ROW_MAJOR_LAYOUT)

    result = ttnn.sparse_matmul(
        put(mesh, values, dims=(0, None)),
        put(mesh, weights),
        sparsity=sparsity,
        nnz=1,
        is_input_a_sparse=True,
        program_config=ONE_CORE,
    )
    for device, got in enumerate(shards(result)):
        torch.testing.assert_close(got[0], values[device // 4] @ weights[0] * mask[device // 4].view(8, 1, 1), **CLOSE)


def test_weight_shared_by_sparse_rows(single: ttnn.MeshDevice) -> None:
    values, weight, mask = torch.randn(1, 8, 32, 64), torch.randn(1, 1, 64, 96), torch.zeros(1, 1, 1, 8)
    mask[..., [0, 5]] = 1
    sparsity = put(single, mask, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    result = ttnn.sparse_matmul(
        put(single, values),
        put(single, weight),
        sparsity=sparsity,
        nnz=2,
        is_input_a_sparse=True,
        is_input_b_sparse=False,
        program_config=ONE_CORE,
    )
    torch.testing.assert_close(get(result), values @ weight * mask.view(1, 8, 1, 1), **CLOSE)


def test_fewer_non_zeros_than_said_hang_too(single: ttnn.MeshDevice) -> None:
    mask = torch.ones(1, 1, 1, 8)
    mask[..., 3] = 0
    sparsity = put(single, mask, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    with pytest.raises(RuntimeError, match=r"nnz is 8 but sparsity has \[7\] non-zeros"):
        ttnn.sparse_matmul(
            put(single, X), put(single, torch.ones(1, 8, 64, 96)), sparsity=sparsity, nnz=8, program_config=ONE_CORE
        )


@pytest.mark.parametrize(
    ("shape", "message"), [([16, 32], "height of the output tile"), ([32, 16], "width of the output tile")]
)
def test_output_tile_is_that_of_the_operands(single: ttnn.MeshDevice, shape: list[int], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        ttnn.matmul(put(single, X), put(single, W), output_tile=ttnn.Tile(shape))


def test_two_vectors_give_a_number(single: ttnn.MeshDevice) -> None:
    vector = put(single, torch.ones(64))

    assert get(ttnn.matmul(vector, vector)).tolist() == 64


def test_mismatched_vectors_are_refused(single: ttnn.MeshDevice) -> None:
    with pytest.raises(RuntimeError, match="width=32 height=64"):
        ttnn.matmul(put(single, torch.ones(32)), put(single, torch.ones(64, 96)))


def test_matmul_takes_an_activation(single: ttnn.MeshDevice) -> None:
    torch.testing.assert_close(get(ttnn.matmul(put(single, X), put(single, W), activation="relu")), (X @ W).relu())


def test_sparse_pairs_multiply_matching_batches(single: ttnn.MeshDevice) -> None:
    values, weights, mask = torch.randn(1, 8, 32, 64), torch.randn(1, 8, 64, 96), torch.zeros(1, 1, 1, 8)
    mask[..., [2, 3]] = 1
    sparsity = put(single, mask, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    result = ttnn.sparse_matmul(
        put(single, values),
        put(single, weights),
        sparsity=sparsity,
        nnz=2,
        is_input_a_sparse=True,
        program_config=ONE_CORE,
    )
    torch.testing.assert_close(get(result), values @ weights * mask.view(1, 8, 1, 1), **CLOSE)


@TOGETHER_OR_NOT
def test_devices_may_want_different_pairs(mesh: ttnn.MeshDevice, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(sparse, "_LARGE", large)
    weights, mask = torch.randn(1, 8, 64, 96), torch.zeros(2, 1, 1, 8)
    mask[0, ..., 1] = mask[1, ..., 6] = 1
    sparsity = put(mesh, mask, ttnn.bfloat16, dims=(0, None), layout=ttnn.ROW_MAJOR_LAYOUT)

    result = ttnn.sparse_matmul(put(mesh, X), put(mesh, weights), sparsity=sparsity, nnz=1, program_config=ONE_CORE)
    for device, got in enumerate(shards(result)):
        expected = (X @ weights * mask[device // 4].view(1, 8, 1, 1)).view(1, 1, 1, 8, 32, 96)
        torch.testing.assert_close(got, expected, **CLOSE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nnz": 3}, r"nnz is 3 but sparsity has \[8\] non-zeros on some device; the real kernel hangs here"),
        ({"nnz": 9}, "nnz 9 must not exceed the number of batches 8"),
        ({"program_config": program(4, 1, 1, out_block_w=3)}, "per_core_N 4 must be divisible by out_block_w 3"),
        ({"program_config": program(1, 2, 1)}, "number of cores, 2x1, is less than 3 blocks"),
        (
            {"program_config": program(1, 2, 2)},
            r"num_cores_with_work \(3\) must be equal to in0_mcast_receiver_num_cores \(4\)",
        ),
        (
            {"program_config": ttnn.MinimalMatmulConfig()},
            "only MatmulMultiCoreReuseMultiCast1DProgramConfig is supported",
        ),
        ({"is_input_b_sparse": False}, "at least one of the inputs must be sparse"),
        ({"is_input_a_sparse": True}, None),
    ],
)
def test_sparse_matmul_refuses(single: ttnn.MeshDevice, changes: dict[str, object], message: str | None) -> None:
    ones = put(single, torch.ones(1, 1, 1, 8), ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)
    a = torch.ones(1, 4 if message is None else 1, 32, 64)
    settings = {"sparsity": ones, "nnz": 8, "program_config": ONE_CORE} | changes

    with pytest.raises(RuntimeError, match=message or "batch of a 4 must equal the batch of b 8"):
        ttnn.sparse_matmul(put(single, a), put(single, torch.ones(1, 8, 64, 96)), **settings)


def test_sparse_matmul_needs_a_program_config(single: ttnn.MeshDevice) -> None:
    with pytest.raises(TypeError, match="program_config"):
        ttnn.sparse_matmul(put(single, X), put(single, W), sparsity=put(single, torch.ones(1, 1, 1, 1)))


@pytest.mark.parametrize(("size", "message"), [(7, "sparsity has 7 elements, which must equal the batch 8")])
def test_sparsity_needs_one_entry_per_pair(single: ttnn.MeshDevice, size: int, message: str) -> None:
    sparsity = put(single, torch.ones(1, 1, 1, size), ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)

    with pytest.raises(RuntimeError, match=message):
        ttnn.sparse_matmul(
            put(single, X), put(single, torch.ones(1, 8, 64, 96)), sparsity=sparsity, program_config=ONE_CORE
        )


def test_minimal_matmul_is_linear(single: ttnn.MeshDevice) -> None:
    result = ttnn.experimental.minimal_matmul(put(single, X), put(single, W), bias_tensor=put(single, torch.ones(96)))

    torch.testing.assert_close(get(result), X @ W + 1, **CLOSE)

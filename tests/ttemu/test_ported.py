"""Calls as the GPT-OSS code of tt-metal writes them, beside what ttnn 0.81.1 answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ttemu as ttnn
from tests.ported.checkout import Checkout, TestLine
from tests.ported.table import imports_table, outcomes_table

from .helpers import get, height_sharded, integers, put, shards

TILE, ROW_MAJOR = ttnn.TILE_LAYOUT, ttnn.ROW_MAJOR_LAYOUT


def cores(*corners: tuple[int, int, int, int]) -> ttnn.CoreRangeSet:
    return ttnn.CoreRangeSet([ttnn.CoreRange(ttnn.CoreCoord(a, b), ttnn.CoreCoord(c, d)) for a, b, c, d in corners])


TWO_BLOCKS = cores((1, 0, 3, 9), (5, 0, 6, 9))


@pytest.mark.parametrize(
    ("start", "count", "row_wise", "expected"),
    [
        ((1, 0), 1, False, "[[1-0 - 1-0]]"),
        ((1, 0), 7, False, "[[1-0 - 1-6]]"),
        ((1, 0), 32, False, "[[1-0 - 3-9], [5-0 - 5-1]]"),
        ((1, 0), 7, True, "[[1-0 - 3-1], [1-2 - 1-2]]"),
        ((1, 0), 35, True, "[[1-0 - 3-9], [5-0 - 6-1], [5-2 - 5-2]]"),
        ((2, 3), 12, True, "[[2-3 - 3-3], [1-4 - 3-6], [1-7 - 1-7]]"),
    ],
)
def test_cores_are_taken_from_blocks_in_order(
    start: tuple[int, int], count: int, *, row_wise: bool, expected: str
) -> None:
    taken = ttnn.num_cores_to_corerangeset_in_subcoregrids(ttnn.CoreCoord(*start), count, TWO_BLOCKS, row_wise)

    assert str(taken.ranges()) == expected
    assert taken.num_cores() == count


def test_more_cores_than_the_blocks_have_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"51 is greater than total available cores 50 of"):
        ttnn.num_cores_to_corerangeset_in_subcoregrids(ttnn.CoreCoord(1, 0), 51, TWO_BLOCKS)


def test_cores_are_listed_by_column_or_by_row() -> None:
    assert str(ttnn.corerange_to_cores(TWO_BLOCKS, 3)) == "[1-0, 1-1, 1-2]"
    assert str(ttnn.corerange_to_cores(TWO_BLOCKS, 4, row_wise=True)) == "[1-0, 2-0, 3-0, 1-1]"
    assert len(ttnn.corerange_to_cores(TWO_BLOCKS)) == 50


def test_switches_read_as_defaults_and_reports_are_refused() -> None:
    assert (ttnn.CONFIG.enable_logging, ttnn.CONFIG.report_path) == (False, None)

    ttnn.CONFIG.throw_exception_on_fallback = False
    with pytest.raises(NotImplementedError, match=r"ttnn\.CONFIG\.enable_logging = True is not emulated"):
        ttnn.CONFIG.enable_logging = True
    with pytest.raises(AttributeError, match="no attribute 'enable_loging'"):
        ttnn.CONFIG.enable_loging = True


def test_graph_capture_is_never_active() -> None:
    assert ttnn.graph.is_graph_capture_active() is False


@pytest.mark.parametrize(
    "call",
    [
        ttnn.graph.begin_graph_capture,
        ttnn.experimental.moe_compute_utils.get_tilize_drain_core,
        ttnn.experimental.deepseek_prefill.dispatch,
        ttnn.experimental.selective_reduce_combine,
    ],
)
def test_fused_kernels_import_and_say_what_they_are_when_called(call: object) -> None:
    with pytest.raises(NotImplementedError, match="is not emulated; run it with the real ttnn"):
        call()


def test_mesh_refuses_to_place_kernels_beside_memory_banks(single: ttnn.MeshDevice) -> None:
    with pytest.raises(NotImplementedError, match="which are not emulated either"):
        single.get_optimal_dram_bank_to_logical_worker_assignment(0)


def test_kinds_of_systems_have_the_numbers_of_ttnn() -> None:
    kinds = ttnn.cluster.ClusterType

    assert {kind.name: kind.value for kind in (kinds.TG, kinds.P150, kinds.P150_X4, kinds.P150_X8, kinds.CUSTOM)} == {
        "TG": 5,
        "P150": 7,
        "P150_X4": 9,
        "P150_X8": 13,
        "CUSTOM": 18,
    }


def test_devices_open_and_close_one_by_one() -> None:
    device = ttnn.CreateDevice(device_id=3, l1_small_size=0, trace_region_size=0)
    several = ttnn.CreateDevices([0, 1])

    assert device.get_device_ids() == [3]
    assert ttnn.GetPCIeDeviceID(3) == 3
    ttnn.CloseDevice(device)
    ttnn.CloseDevices(several)
    assert not any(closed.is_open for closed in (device, *several.values()))


def test_dispatch_cores_take_a_tensix_config() -> None:
    config = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, ttnn.DispatchCoreAxis.ROW, None)

    assert config == ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, ttnn.DispatchCoreAxis.ROW)


def test_shards_are_specified_by_name() -> None:
    spec = ttnn.ShardSpec(
        grid=cores((6, 0, 6, 0)), shard_shape=(128, 4), shard_orientation=ttnn.ShardOrientation.ROW_MAJOR
    )

    assert (spec.shape, spec.num_cores()) == ([128, 4], 1)


def test_slice_takes_start_end_and_step_under_two_kinds_of_names(single: ttnn.MeshDevice) -> None:
    values = torch.randn(1, 1, 64, 64)
    tensor = put(single, values)

    named = ttnn.slice(tensor, starts=[0, 0, 0, 0], ends=[1, 1, 32, 40], steps=[1, 1, 1, 1])
    other = ttnn.slice(tensor, slice_start=[0, 0, 0, 0], slice_end=[1, 1, 32, 40])

    assert torch.equal(get(named), values[:, :, :32, :40])
    assert torch.equal(get(other), get(named))


@pytest.mark.parametrize(
    "names",
    [
        {"starts": [0, 0], "ends": [32, 40]},
        {"starts": [0, 0], "slice_end": [32, 40]},
        {"slice_start": [0, 0], "slice_end": [32, 40], "steps": [1, 1]},
    ],
    ids=["no steps", "mixed", "mixed steps"],
)
def test_slice_refuses_half_a_kind_of_names(single: ttnn.MeshDevice, names: dict[str, list[int]]) -> None:
    tensor = put(single, torch.randn(64, 64))

    with pytest.raises(TypeError, match=r"ttnn\.slice(\(\))?: incompatible function arguments"):
        ttnn.slice(tensor, **names)


def test_tensor_is_preprocessed_once_and_then_cached(single: ttnn.MeshDevice, tmp_path: Path) -> None:
    values = torch.randn(32, 32)
    place = {"device": single, "layout": TILE, "memory_config": ttnn.DRAM_MEMORY_CONFIG}
    called: list[int] = []

    def double(tensor: torch.Tensor) -> torch.Tensor:
        called.append(1)
        return tensor * 2

    name = tmp_path / "weight"
    first = ttnn.as_tensor(values, ttnn.float32, preprocess=double, cache_file_name=name, **place)
    second = ttnn.as_tensor(None, ttnn.float32, preprocess=double, cache_file_name=name, **place)

    assert torch.equal(get(first), values * 2)
    assert torch.equal(get(second), values * 2)
    assert called == [1]


def test_copy_writes_over_a_tensor_in_its_dtype(line: ttnn.MeshDevice) -> None:
    values = torch.randn(32, 64)
    source, target = put(line, values), put(line, torch.zeros(32, 64), ttnn.bfloat16)

    written = ttnn.copy(source, target)

    assert all(torch.equal(shard, values.bfloat16()) for shard in shards(target))
    assert written.dtype == ttnn.bfloat16
    with pytest.raises(RuntimeError, match="does not match output tensor"):
        ttnn.copy(source, put(line, torch.zeros(64, 32)))


def router(mesh: ttnn.MeshDevice, batch: int, experts: int = 128) -> tuple[list[torch.Tensor], list[ttnn.Tensor]]:
    generator = torch.Generator().manual_seed(batch)
    values = [torch.randn(*size, generator=generator) for size in ((batch, 96), (96, experts), (1, experts))]
    operands = [values[0], values[1], values[2].expand(batch, -1)]
    return [value.bfloat16().float() for value in operands], [put(mesh, value, ttnn.bfloat16) for value in operands]


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_router_returns_experts_and_weights_of_each_token(line: ttnn.MeshDevice, batch: int) -> None:
    (tokens, matrix, shift), (tensor, weight, bias) = router(line, batch)

    indices, weights = ttnn.experimental.topk_router_gpt(tensor, weight_tensor=weight, bias_tensor=bias, k=4)

    best = (tokens @ matrix + shift).bfloat16().float().sort(dim=-1, descending=True, stable=True)
    assert [torch.equal(shard.int(), best.indices[:, :4].int()) for shard in shards(indices)] == [True] * 8
    assert torch.equal(get(weights), best.values[:, :4].softmax(-1).bfloat16())
    assert (indices.dtype, weights.dtype, indices.layout) == (ttnn.uint16, ttnn.bfloat16, ROW_MAJOR)
    assert (indices.shape, indices.memory_config()) == ([batch, 4], ttnn.L1_MEMORY_CONFIG)


@pytest.mark.parametrize(
    ("batch", "experts", "options", "message"),
    [
        (64, 128, {}, "requires batch_size in [1, 32], got 64"),
        (8, 64, {}, "weight tensor Shape([96, 64]) must match [96, 128]"),
        (8, 64, {"num_experts": 64}, "only supports num_experts=128, got 64"),
        (8, 128, {"k": 64}, "requires k in range [1, 32], got 64"),
    ],
)
def test_router_refuses(
    single: ttnn.MeshDevice, batch: int, experts: int, options: dict[str, int], message: str
) -> None:
    _, (tensor, weight, bias) = router(single, batch, experts)

    with pytest.raises(RuntimeError) as refused:
        ttnn.experimental.topk_router_gpt(tensor, weight_tensor=weight, bias_tensor=bias, **options)
    assert message in str(refused.value)


def fused(mesh: ttnn.MeshDevice, **options: object) -> list[ttnn.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensor = put(mesh, torch.randn(1, 1, 64, 256, generator=generator), ttnn.bfloat16, dims=(None, 3))
    weight = put(mesh, torch.randn(256, options.pop("width", 512), generator=generator), ttnn.bfloat16, dims=(None, 0))
    counters = [ttnn.create_global_semaphore(mesh, cores((0, 0, 7, 7)), 0) for _ in range(options.pop("counters", 3))]
    grid = ttnn.CoreCoord(8, 4)
    blocks = {"M_block_size": 4, "K_block_size": 4, "N_block_size": 4, "subblock_h": 2, "subblock_w": 2}
    config = ttnn.MinimalMatmulConfig(compute_with_storage_grid_size=grid, **blocks)
    arguments = {"compute_kernel_config": None, "cluster_axis": 1, "config": config} | options
    call = ttnn.experimental.minimal_matmul_strided_reduce_scatter_async
    return call(tensor, weight, arguments.pop("dim", 3), counters, ttnn.CoreCoord(0, 4), **arguments)


def test_matmul_and_scatter_equal_their_two_ops(line: ttnn.MeshDevice) -> None:
    product, scattered = fused(line)

    expected = ttnn.reduce_scatter(product, dim=3, cluster_axis=1, topology=ttnn.Topology.Ring)
    assert (product.shape, scattered.shape) == ([1, 1, 64, 512], [1, 1, 64, 64])
    assert all(torch.equal(*pair) for pair in zip(shards(scattered), shards(expected), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 2}, "requires dim=3, got 2"),
        ({"topology": ttnn.Topology.Linear}, "only supports Ring topology, got Linear"),
        ({"counters": 2}, "Expected 3 semaphores but got 2"),
        ({"width": 480}, "MM output N_tiles (15) must be divisible by ring_size (8)"),
        ({"config": None}, "requires a matmul config"),
    ],
)
def test_matmul_and_scatter_refuse(line: ttnn.MeshDevice, options: dict[str, object], message: str) -> None:
    with pytest.raises(RuntimeError) as refused:
        fused(line, **options)
    assert message in str(refused.value)


def test_one_user_may_have_a_position_without_dims(single: ttnn.MeshDevice) -> None:
    keys, values = torch.randn(1, 1, 64, 64), torch.randn(1, 1, 64, 64)
    query, cache = put(single, torch.randn(1, 1, 8, 64), ttnn.bfloat16), put(single, keys, ttnn.bfloat16)
    scalar = ttnn.from_torch(torch.tensor(3, dtype=torch.int32), device=single, dtype=ttnn.int32)
    row = height_sharded(put(single, torch.ones(1, 1, 1, 64), ttnn.bfloat16))

    ttnn.experimental.paged_update_cache(cache, row, update_idxs_tensor=scalar)
    attend = ttnn.transformer.scaled_dot_product_attention_decode
    found = [
        get(attend(query, cache, put(single, values, ttnn.bfloat16), cur_pos_tensor=position, scale=0.125))
        for position in (scalar, integers(single, [3]))
    ]

    assert torch.equal(get(cache)[0, 0, 3], torch.ones(64, dtype=torch.bfloat16))
    assert torch.equal(*found)


def checkout(root: Path, **modules: str) -> Checkout:
    package = root / "tree" / "models" / "demos" / "gpt_oss"
    package.mkdir(parents=True)
    (package / "conftest.py").write_text("", encoding="utf-8")
    for name, code in modules.items():
        (package / f"{name}.py").write_text(code, encoding="utf-8")
    return Checkout(root=root / "tree", work=root / "work")


def test_modules_of_a_checkout_import_with_the_emulator_as_ttnn(tmp_path: Path) -> None:
    found = checkout(
        tmp_path,
        fine="import ttnn\nfrom ttnn.operations.ccl import Topology\nassert ttnn.__name__ == 'ttemu'",
        other="import nowhere",
    ).import_all()

    assert {module.name.rpartition(".")[2]: module.reason for module in found} == {
        "conftest": "",
        "fine": "",
        "other": "ModuleNotFoundError: No module named 'nowhere'",
    }
    assert imports_table(found).splitlines()[2] == (
        "| . | 2 of 3 | `other`: ModuleNotFoundError: No module named 'nowhere' |"
    )


def test_table_shows_the_lowest_pcc_beside_its_floor() -> None:
    name = "a/test_x.py::test_layer[wormhole_b0-paged-layer_0-decode-1x8]"
    lines = [
        TestLine(test=name, component="run_mlp_component", pcc=0.98, floor=0.9),
        TestLine(test=name, component="run_mlp_component", pcc=0.97, floor=0.9),
        TestLine(test=name, outcome="passed", seconds=2.0),
        TestLine(test="a/test_x.py::test_layer[4x8]", outcome="failed", reason="E   RuntimeError: too big"),
    ]

    assert outcomes_table(lines).splitlines()[2:] == [
        "| test_x.py::test_layer paged decode | 1x8 | passed | 2 | mlp 0.9700 (≥ 0.9) |",
        "| test_x.py::test_layer | 4x8 | failed: E   RuntimeError: too big | 0 |  |",
    ]


def draw(mesh: ttnn.MeshDevice, values: torch.Tensor, k: int, p: float, **options: int) -> torch.Tensor:
    users, width = values.shape[-2:]
    names = torch.arange(width, dtype=torch.int32).flip(0).expand(1, 1, users, width)
    limits = [
        put(mesh, torch.full((users,), k, dtype=torch.int32), ttnn.uint32, layout=ROW_MAJOR),
        put(mesh, torch.full((users,), p), ttnn.bfloat16, layout=ROW_MAJOR),
        put(mesh, torch.ones(users), ttnn.bfloat16, layout=ROW_MAJOR),
    ]
    indices = put(mesh, names, ttnn.int32, layout=ROW_MAJOR)
    drawn = ttnn.sampling(put(mesh, values, ttnn.bfloat16), indices, *limits, **options)
    assert (drawn.shape, drawn.dtype) == ([1, 1, 1, users], ttnn.uint32)
    return get(drawn).int().flatten()


@pytest.mark.parametrize(("k", "p"), [(1, 1.0), (32, 0.0)])
def test_sampling_of_one_candidate_is_the_largest(line: ttnn.MeshDevice, k: int, p: float) -> None:
    values = torch.stack([torch.randperm(128) for _ in range(32)])[None, None].float()

    assert torch.equal(draw(line, values, k, p), 127 - values[0, 0].argmax(-1).int())


def test_sampling_draws_candidates_as_often_as_they_weigh(single: ttnn.MeshDevice) -> None:
    values = torch.full((1, 1, 32, 64), -50.0)
    values[..., :3] = torch.tensor([0.6, 0.3, 0.1]).log()

    drawn = torch.stack([draw(single, values, 2, 1.0) for _ in range(40)])

    shares = [(drawn == 63 - index).float().mean().item() for index in range(3)]
    assert shares == pytest.approx([2 / 3, 1 / 3, 0], abs=0.05)


def test_seed_repeats_what_is_drawn(line: ttnn.MeshDevice) -> None:
    values = torch.zeros(1, 1, 32, 128)

    ttnn.manual_seed(7, device=line)
    first, second = draw(line, values, 32, 1.0), draw(line, values, 32, 1.0)
    ttnn.manual_seed(7, device=line)
    again = draw(line, values, 32, 1.0)

    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_each_user_has_a_seed_and_the_largest_one_leaves_it(line: ttnn.MeshDevice) -> None:
    values, users = torch.zeros(1, 1, 4, 128), integers(line, [0, 1, 2, 3], ttnn.uint32)
    seeds = [integers(line, [5, 6, 5, 9], ttnn.uint32), integers(line, [5, -1, -1, 9], ttnn.uint32)]

    ttnn.manual_seed(seeds[0], user_ids=users)
    first, second = draw(line, values, 32, 1.0), draw(line, values, 32, 1.0)
    ttnn.manual_seed(seeds[0], user_ids=users)
    draw(line, values, 32, 1.0)
    ttnn.manual_seed(seeds[1], user_ids=users)
    third = draw(line, values, 32, 1.0)

    assert first[0] == first[2]
    assert third.tolist() == [first[0], second[1], second[2], first[3]]


@pytest.mark.parametrize(
    ("width", "message"), [(96, "must be a power of 2 of tiles, got 3"), (0, "must have one shape")]
)
def test_sampling_refuses(single: ttnn.MeshDevice, width: int, message: str) -> None:
    values = put(single, torch.zeros(1, 1, 32, width or 64), ttnn.bfloat16)
    indices = put(single, torch.zeros(1, 1, 32, width or 128, dtype=torch.int32), ttnn.int32, layout=ROW_MAJOR)
    limit = put(single, torch.zeros(32), ttnn.bfloat16, layout=ROW_MAJOR)

    with pytest.raises(RuntimeError, match=message):
        ttnn.sampling(values, indices, limit, limit, limit)

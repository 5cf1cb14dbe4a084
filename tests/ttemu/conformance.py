"""Say in plain values what a ttnn call gives: shapes, dtypes, layouts, memory configs, error classes.

Works with whatever module is handed in: the real ttnn when calls are recorded, the emulator when they are replayed.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch

HERE = Path(__file__).parent
CALLS = HERE / "calls.txt"
RECORDED = HERE / "recorded.json"


def calls() -> list[str]:
    """Return the calls in order."""
    lines = (line.strip() for line in CALLS.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def place(config: Any) -> list[object]:
    """Return memory layout, buffer type and, if sharded, the shard's shape and the number of cores."""
    names = [str(config.memory_layout).split(".")[-1], str(config.buffer_type).split(".")[-1]]
    spec = config.shard_spec
    return names if spec is None else [*names, list(spec.shape), spec.grid.num_cores()]


def describe(ttnn: ModuleType, value: Any) -> object:
    """Return what can be compared of a call's result."""
    if isinstance(value, ttnn.Tensor):
        kind = [str(value.dtype).split(".")[-1], str(value.layout).split(".")[-1]]
        where = "host" if value.device() is None else place(value.memory_config())
        return {"shape": list(value.shape), "padded": list(value.padded_shape), "kind": kind, "place": where}
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "kind": str(value.dtype)}
    if isinstance(value, (list, tuple)):
        return [describe(ttnn, item) for item in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else "a value"


def outcome(ttnn: ModuleType, names: dict[str, Any], call: str) -> object:
    """Return the description of a call's result, or the class of its error."""
    try:
        return describe(ttnn, eval(call, names))
    except Exception as error:  # noqa: BLE001 - any error is an outcome
        return {"error": type(error).__name__}


def namespace(ttnn: ModuleType, mesh: Any) -> dict[str, Any]:
    """Return the short names that the calls are written in; the mesh is 1x8 with FABRIC_1D."""
    names: dict[str, Any] = {"ttnn": ttnn, "torch": torch, "m": mesh, "place": place}
    names |= {"B16": ttnn.bfloat16, "B8": ttnn.bfloat8_b, "B4": ttnn.bfloat4_b, "F32": ttnn.float32}
    names |= {"U16": ttnn.uint16, "U32": ttnn.uint32, "I32": ttnn.int32}
    names |= {"TL": ttnn.TILE_LAYOUT, "RM": ttnn.ROW_MAJOR_LAYOUT}
    names |= {"DRAM": ttnn.DRAM_MEMORY_CONFIG, "L1": ttnn.L1_MEMORY_CONFIG}
    names["T"] = _maker(ttnn, mesh)
    names["HS"] = lambda height, width, cores: _sharded(ttnn, "HEIGHT_SHARDED", [height, width], cores)
    names["WS"] = lambda height, width, cores: _sharded(ttnn, "WIDTH_SHARDED", [height, width], cores)
    names["PC"] = lambda per_core_n, cols, rows, out_w=None: _program(ttnn, per_core_n, (cols, rows), out_w)
    corner = ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(3, 3))
    names["sem"] = [ttnn.create_global_semaphore(mesh, ttnn.CoreRangeSet({corner}), 0) for _ in range(4)]
    names["alive"] = lambda code: _alive(code, names)
    return names


def _maker(ttnn: ModuleType, mesh: Any) -> Any:
    integers = {ttnn.uint16, ttnn.uint32, ttnn.int32}

    def make(
        *shape: int, dt: Any = ttnn.bfloat16, la: Any = ttnn.TILE_LAYOUT, mc: Any = None, host: bool = False
    ) -> Any:
        values = torch.zeros(shape, dtype=torch.int32) if dt in integers else torch.rand(shape)
        if host:
            return ttnn.from_torch(values, dtype=dt, layout=la, memory_config=mc)
        mapper = ttnn.ReplicateTensorToMesh(mesh)
        return ttnn.from_torch(values, dtype=dt, layout=la, device=mesh, memory_config=mc, mesh_mapper=mapper)

    return make


def _sharded(ttnn: ModuleType, layout: str, shape: list[int], cores: int) -> Any:
    grid = ttnn.num_cores_to_corerangeset(cores, ttnn.CoreCoord(8, 7), True)
    spec = ttnn.ShardSpec(grid, shape, ttnn.ShardOrientation.ROW_MAJOR)
    return ttnn.MemoryConfig(getattr(ttnn.TensorMemoryLayout, layout), ttnn.BufferType.L1, spec)


def _program(ttnn: ModuleType, per_core_n: int, grid: tuple[int, int], out_w: int | None) -> Any:
    return ttnn.MatmulMultiCoreReuseMultiCast1DProgramConfig(
        compute_with_storage_grid_size=ttnn.CoreCoord(*grid),
        in0_block_w=1,
        out_subblock_h=1,
        out_subblock_w=1,
        out_block_h=1,
        out_block_w=out_w or per_core_n,
        per_core_M=1,
        per_core_N=per_core_n,
        fuse_batch=False,
        fused_activation=None,
        mcast_in0=True,
    )


def _alive(code: str, names: dict[str, Any]) -> bool:
    local: dict[str, Any] = {}
    exec(code, names, local)
    return bool(local["b"].is_allocated())

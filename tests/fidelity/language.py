"""The short names that calls are written in, for whatever library is handed in.

T(2, 64, dt=B8, la=RM, mc=L1, host=True) is a tensor of that shape on every device, or on the host;
S(8, 64, dims=(None, 1)) is one cut over the mesh; dead(T(2, 64)) was deallocated.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from tests.fidelity.outcome import place

__all__ = ["names"]


def names(ttnn: ModuleType, mesh: Any) -> dict[str, Any]:
    """Return the short names; ``m`` is the mesh, ``sem`` are four semaphores."""
    known: dict[str, Any] = {"ttnn": ttnn, "torch": torch, "m": mesh, "place": place}
    known |= {"B16": ttnn.bfloat16, "B8": ttnn.bfloat8_b, "B4": ttnn.bfloat4_b, "F32": ttnn.float32}
    known |= {"U8": ttnn.uint8, "U16": ttnn.uint16, "U32": ttnn.uint32, "I32": ttnn.int32}
    known |= {"TL": ttnn.TILE_LAYOUT, "RM": ttnn.ROW_MAJOR_LAYOUT}
    known |= {"DRAM": ttnn.DRAM_MEMORY_CONFIG, "L1": ttnn.L1_MEMORY_CONFIG}
    known["T"] = _Maker(ttnn, mesh)
    known["S"] = _Cutter(ttnn, mesh)
    known["HS"] = lambda height, width, cores: _sharded(ttnn, mesh, "HEIGHT_SHARDED", [height, width], cores)
    known["WS"] = lambda height, width, cores: _sharded(ttnn, mesh, "WIDTH_SHARDED", [height, width], cores)
    known["BS"] = lambda height, width, cols, rows: _block(ttnn, [height, width], (cols, rows))
    known["PC"] = lambda per_core_n, cols, rows, out_w=None: _program(ttnn, per_core_n, (cols, rows), out_w)
    corner = ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(3, 3))
    known["sem"] = [ttnn.create_global_semaphore(mesh, ttnn.CoreRangeSet({corner}), 0) for _ in range(4)]
    known["dead"] = lambda tensor: (tensor.deallocate(True), tensor)[1]
    known["alive"] = lambda code: _alive(code, known)
    return known


def _values(ttnn: ModuleType, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
    whole = dtype in {ttnn.uint8, ttnn.uint16, ttnn.uint32, ttnn.int32}
    return torch.zeros(shape, dtype=torch.int32) if whole else torch.rand(shape)


class _Maker:
    """``T``: the same values on every device."""

    def __init__(self, ttnn: ModuleType, mesh: Any) -> None:
        self._ttnn, self._mesh = ttnn, mesh
        self._dtype, self._layout = ttnn.bfloat16, ttnn.TILE_LAYOUT

    def __call__(self, *shape: int, dt: Any = None, la: Any = None, mc: Any = None, host: bool = False) -> Any:
        """Return a tensor of ``shape``, bfloat16 in tiles unless told otherwise."""
        ttnn, dtype = self._ttnn, self._dtype if dt is None else dt
        options = {"dtype": dtype, "layout": self._layout if la is None else la, "memory_config": mc}
        if not host:
            options |= {"device": self._mesh, "mesh_mapper": ttnn.ReplicateTensorToMesh(self._mesh)}
        return ttnn.from_torch(_values(ttnn, shape, dtype), **options)


class _Cutter(_Maker):
    """``S``: a part of the values on each device."""

    def __call__(  # type: ignore[override]  # has dims besides
        self, *shape: int, dims: tuple[int | None, int | None], dt: Any = None, la: Any = None, host: bool = False
    ) -> Any:
        """Return a tensor whose ``dims`` are cut over the rows and columns of the mesh; None is not cut."""
        ttnn, mesh, dtype = self._ttnn, self._mesh, self._dtype if dt is None else dt
        mapper = ttnn.ShardTensor2dMesh(mesh, mesh_shape=tuple(mesh.shape), dims=dims)
        options = {"dtype": dtype, "layout": self._layout if la is None else la, "mesh_mapper": mapper}
        return ttnn.from_torch(_values(ttnn, shape, dtype), **options, device=None if host else mesh)


def _sharded(ttnn: ModuleType, mesh: Any, layout: str, shape: list[int], cores: int) -> Any:
    grid = ttnn.num_cores_to_corerangeset(cores, mesh.compute_with_storage_grid_size(), True)
    spec = ttnn.ShardSpec(grid, shape, ttnn.ShardOrientation.ROW_MAJOR)
    return ttnn.MemoryConfig(getattr(ttnn.TensorMemoryLayout, layout), ttnn.BufferType.L1, spec)


def _block(ttnn: ModuleType, shape: list[int], grid: tuple[int, int]) -> Any:
    cores = ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(grid[0] - 1, grid[1] - 1))
    spec = ttnn.ShardSpec(ttnn.CoreRangeSet({cores}), shape, ttnn.ShardOrientation.ROW_MAJOR)
    return ttnn.MemoryConfig(ttnn.TensorMemoryLayout.BLOCK_SHARDED, ttnn.BufferType.L1, spec)


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


def _alive(code: str, known: dict[str, Any]) -> bool:
    local: dict[str, Any] = {}
    exec(code, known, local)
    return bool(local["b"].is_allocated())

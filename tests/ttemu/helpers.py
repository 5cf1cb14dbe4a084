"""Short ways to make tensors and to read them back."""

from __future__ import annotations

import torch

import ttemu as ttnn


def put(
    mesh: ttnn.MeshDevice,
    values: torch.Tensor,
    dtype: ttnn.DataType = ttnn.float32,
    *,
    dims: tuple[int | None, int | None] = (None, None),
    layout: ttnn.Layout = ttnn.TILE_LAYOUT,
) -> ttnn.Tensor:
    """Lay values over a mesh: rows cut ``dims[0]``, columns ``dims[1]``."""
    mapper = ttnn.ShardTensor2dMesh(mesh, tuple(mesh.shape), dims)
    return ttnn.from_torch(values, dtype=dtype, layout=layout, device=mesh, mesh_mapper=mapper)


def integers(mesh: ttnn.MeshDevice, values: object, dtype: ttnn.DataType = ttnn.int32) -> ttnn.Tensor:
    """Put integers on every device, ROW_MAJOR."""
    return ttnn.from_torch(torch.tensor(values, dtype=torch.int32), dtype=dtype, device=mesh)


def shards(tensor: ttnn.Tensor) -> list[torch.Tensor]:
    """Return each device's values, row-major."""
    return [ttnn.to_torch(part) for part in ttnn.get_device_tensors(tensor)]


def get(tensor: ttnn.Tensor) -> torch.Tensor:
    """Return the values of the first device."""
    return shards(tensor)[0]


def height_sharded(tensor: ttnn.Tensor) -> ttnn.Tensor:
    """Move [1, users, rows, width] to one core per user."""
    users, rows, width = tensor.padded_shape[1], tensor.padded_shape[2], tensor.padded_shape[3]
    grid = ttnn.num_cores_to_corerangeset(users, ttnn.CoreCoord(8, 9), row_wise=True)
    spec = ttnn.ShardSpec(grid, [rows, width], ttnn.ShardOrientation.ROW_MAJOR)
    config = ttnn.MemoryConfig(ttnn.TensorMemoryLayout.HEIGHT_SHARDED, ttnn.BufferType.L1, spec)
    return ttnn.to_memory_config(tensor, config)

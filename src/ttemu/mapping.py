"""Cut host tensors over a mesh and put them together again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ttemu.axes import MESH_DIMS, join, split, spread
from ttemu.cores import divup
from ttemu.mesh import MeshDevice
from ttemu.shapes import MeshShape

__all__ = [
    "ConcatMesh2dToTensor",
    "ConcatMeshToTensor",
    "MeshComposerConfig",
    "MeshMapperConfig",
    "MeshToTensor",
    "PlacementReplicate",
    "PlacementShard",
    "ReplicateTensorToMesh",
    "ShardTensor2dMesh",
    "ShardTensorToMesh",
    "TensorToMesh",
    "concat_mesh_to_tensor_composer",
    "create_mesh_composer",
    "create_mesh_mapper",
    "replicate_tensor_to_mesh_mapper",
    "shard_tensor_to_mesh_mapper",
]

Span = tuple[int, int]


def check_count(size: int, parts: int, dim: int) -> None:
    """Refuse a dim that does not cut into ``parts`` chunks of ceil(size / parts)."""
    made = divup(size, max(divup(size, parts), 1))
    if made != parts:
        raise RuntimeError(f"mesh mapper: expected number of chunks {made} to match {parts} (dim {dim} of size {size})")


def check_chunks(size: int, parts: int, dim: int) -> None:
    """Refuse a dim that does not cut into ``parts`` equal chunks of ceil(size / parts)."""
    check_count(size, parts, dim)
    chunk = max(divup(size, parts), 1)
    if size % chunk:
        raise RuntimeError(
            f"mesh mapper: Shard shape mismatch: dim {dim} of size {size} gives chunks of {chunk} and a last one of "
            f"{size % chunk}; pad it to a multiple of {parts}"
        )


def _dim_in(dim: int, rank: int) -> int:
    if not -rank <= dim < rank:
        raise RuntimeError(f"mesh mapper: dim {dim} is out of range for a tensor of rank {rank}")
    return dim % rank


def shard_2d(tensor: torch.Tensor, span: Span, dims: tuple[int | None, int | None]) -> torch.Tensor:
    """Return [rows|1, cols|1, *shard]: rows cut dim ``dims[0]``, cols cut ``dims[1]``, None replicates."""
    found = [None if dim is None else _dim_in(dim, tensor.dim()) for dim in dims]
    if found[0] is not None and found[0] == found[1]:
        raise RuntimeError(f"mesh mapper: dims must be unique, got {list(dims)}")
    for axis, dim in enumerate(found):
        if dim is not None:
            check_count(tensor.shape[dim], span[axis], dim)
    data = tensor.reshape(1, 1, *tensor.shape)
    for axis, dim in enumerate(found):
        if dim is not None:
            check_chunks(tensor.shape[dim], span[axis], dim)
            data = split(data, axis, dim, span[axis])
    return data


def shard_flat(tensor: torch.Tensor, span: Span, dim: int) -> tuple[torch.Tensor, Span]:
    """Cut one dim over all devices, row-major; fewer chunks than devices fill fewer devices."""
    dim = _dim_in(dim, tensor.dim())
    size, devices = tensor.shape[dim], span[0] * span[1]
    parts = divup(size, max(divup(size, devices), 1))
    check_chunks(size, parts, dim)
    data = split(tensor.reshape(1, 1, *tensor.shape), 1, dim, parts)
    if parts < devices:
        return data, (1, parts)
    return data.reshape(*span, *data.shape[MESH_DIMS:]), span


class TensorToMesh:
    """A rule that lays a host tensor over a mesh."""

    def apply(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Span]:
        """Return [rows|1, cols|1, *shard] and the rows and columns that it covers."""
        raise NotImplementedError


class ReplicateTensorToMesh(TensorToMesh):
    """Every device gets the whole tensor."""

    def __init__(self, mesh_device: MeshDevice) -> None:
        self._span = mesh_device.span

    def apply(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Span]:
        """Return [1, 1, *shape]."""
        return tensor.reshape(1, 1, *tensor.shape), self._span


class ShardTensorToMesh(TensorToMesh):
    """Dim ``dim`` is cut over all devices, row-major."""

    def __init__(self, mesh_device: MeshDevice, dim: int) -> None:
        self._span, self._dim = mesh_device.span, dim

    def apply(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Span]:
        """Return [rows, cols, *shard]."""
        return shard_flat(tensor, self._span, self._dim)


class ShardTensor2dMesh(TensorToMesh):
    """Rows of the mesh cut dim ``dims[0]``, columns cut ``dims[1]``, None replicates."""

    def __init__(
        self,
        mesh_device: MeshDevice,
        mesh_shape: MeshShape | Sequence[int],
        dims: tuple[int | None, int | None],
    ) -> None:
        self._whole = mesh_device.span
        self._span = _span_on(mesh_device, mesh_shape, "ShardTensor2dMesh")
        # What stands behind them is not looked at, as in ttnn.
        self._dims = (dims[0], dims[1])
        if not all(isinstance(dim, (int, type(None))) for dim in self._dims):
            raise TypeError(f"ShardTensor2dMesh: incompatible function arguments, dims {dims!r}")

    def apply(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Span]:
        """Return [rows|1, cols|1, *shard]; a shape turned against the mesh is dealt to its devices row-major."""
        data = shard_2d(tensor, self._span, self._dims)
        if self._span != self._whole and math.prod(self._span) == math.prod(self._whole):
            return spread(data, self._span).reshape(*self._whole, *data.shape[MESH_DIMS:]), self._whole
        return data, self._span


def _span_on(mesh_device: MeshDevice, mesh_shape: MeshShape | Iterable[int], what: str) -> Span:
    rows, cols = mesh_shape
    if rows * cols > mesh_device.get_num_devices():
        raise RuntimeError(
            f"{what}: The size of the supplied mesh shape [{rows}, {cols}] does not match the device shape size "
            f"{mesh_device.shape}"
        )
    return rows, cols


class MeshToTensor:
    """A rule that puts the shards of a mesh together."""

    def compose(self, data: torch.Tensor) -> torch.Tensor:
        """Return the host tensor of ``data`` [rows, cols, *shard]."""
        raise NotImplementedError


class ConcatMeshToTensor(MeshToTensor):
    """All devices' shards, row-major, one after the other along ``dim``."""

    def __init__(self, mesh_device: MeshDevice, dim: int) -> None:
        self._mesh_device, self._dim = mesh_device, dim

    def compose(self, data: torch.Tensor) -> torch.Tensor:
        """Return the concatenation of all shards."""
        shards = data.shape[0] * data.shape[1]
        if shards == self._mesh_device.get_num_devices() == 1:
            return data[0, 0]
        if shards < self._mesh_device.get_num_devices():
            raise RuntimeError(
                f"ConcatMeshToTensor: mesh {self._mesh_device.shape} lies outside the {shards} shards of the tensor"
            )
        flat = data.reshape(1, shards, *data.shape[MESH_DIMS:])
        return join(flat, 1, _dim_in(self._dim, data.dim() - MESH_DIMS))[0, 0]


class ConcatMesh2dToTensor(MeshToTensor):
    """Rows of the mesh one after the other along ``dims[0]``, columns along ``dims[1]``."""

    def __init__(self, mesh_device: MeshDevice, mesh_shape: MeshShape | Sequence[int], dims: tuple[int, int]) -> None:
        self._dims = (dims[0], dims[1])
        if not all(isinstance(dim, int) for dim in self._dims):
            raise TypeError(f"ConcatMesh2dToTensor: incompatible function arguments, dims {dims!r} must be integers")
        self._span = _span_on(mesh_device, mesh_shape, "ConcatMesh2dToTensor")

    def compose(self, data: torch.Tensor) -> torch.Tensor:
        """Return the concatenation; replicas are concatenated too."""
        if self._span == (1, 1):
            return data[0, 0]
        rank = data.dim() - MESH_DIMS
        dims = [_dim_in(dim, rank) for dim in self._dims]
        if dims[0] == dims[1]:
            raise RuntimeError(f"ConcatMesh2dToTensor: dims must be unique, got {list(self._dims)}")
        rows, cols = self._span
        # A smaller shape silently takes the first devices, row-major, as in ttnn.
        chosen = data.flatten(0, 1)[: rows * cols]
        if chosen.shape[0] < rows * cols:
            raise RuntimeError(
                f"ConcatMesh2dToTensor: mesh shape [{rows}, {cols}] lies outside the {chosen.shape[0]} shards"
            )
        grid = chosen.reshape(rows, cols, *data.shape[MESH_DIMS:])
        return join(join(grid, 0, dims[0]), 1, dims[1])[0, 0]


@dataclass(frozen=True, slots=True)
class PlacementShard:
    """A mesh axis that cuts dim ``dim``."""

    dim: int


@dataclass(frozen=True, slots=True)
class PlacementReplicate:
    """A mesh axis along which all devices hold the same."""


@dataclass(frozen=True, slots=True)
class MeshMapperConfig:
    """One placement per mesh axis, over ``mesh_shape_override`` if given."""

    placements: Sequence[PlacementShard | PlacementReplicate]
    mesh_shape_override: MeshShape | None = None


@dataclass(frozen=True, slots=True)
class MeshComposerConfig:
    """The dim that each mesh axis is concatenated along."""

    dims: Sequence[int]
    mesh_shape_override: MeshShape | None = None


def create_mesh_mapper(mesh_device: MeshDevice, config: MeshMapperConfig) -> TensorToMesh:
    """Return the mapper of a config with two placements."""
    dims = [item.dim if isinstance(item, PlacementShard) else None for item in config.placements]
    if len(dims) != MESH_DIMS:
        raise RuntimeError(f"create_mesh_mapper: the number of dimensions must be 2, one per mesh axis, got {dims}")
    return ShardTensor2dMesh(mesh_device, config.mesh_shape_override or mesh_device.shape, (dims[0], dims[1]))


def create_mesh_composer(mesh_device: MeshDevice, config: MeshComposerConfig) -> MeshToTensor:
    """Return the composer of a config with two dims."""
    if len(config.dims) != MESH_DIMS:
        raise RuntimeError(f"create_mesh_composer: the number of dimensions must be 2, got {list(config.dims)}")
    dims = (config.dims[0], config.dims[1])
    return ConcatMesh2dToTensor(mesh_device, config.mesh_shape_override or mesh_device.shape, dims)


def replicate_tensor_to_mesh_mapper(mesh_device: MeshDevice) -> TensorToMesh:
    """Return a mapper that gives every device the whole tensor."""
    return ReplicateTensorToMesh(mesh_device)


def shard_tensor_to_mesh_mapper(mesh_device: MeshDevice, dim: int) -> TensorToMesh:
    """Return a mapper that cuts ``dim`` over all devices."""
    return ShardTensorToMesh(mesh_device, dim)


def concat_mesh_to_tensor_composer(mesh_device: MeshDevice, dim: int) -> MeshToTensor:
    """Return a composer that concatenates all devices along ``dim``."""
    return ConcatMeshToTensor(mesh_device, dim)

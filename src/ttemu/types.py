"""Offer ``ttnn.types``: the classes that describe tensors."""

from __future__ import annotations

from ttemu.configs import MathFidelity, Tile
from ttemu.cores import CoreCoord, CoreGrid, CoreRange, CoreRangeSet
from ttemu.dtypes import DataType, Layout, StorageType
from ttemu.memory import BufferType, MemoryConfig, ShardOrientation, ShardSpec, ShardStrategy, TensorMemoryLayout
from ttemu.mesh import MeshDevice
from ttemu.shapes import MeshCoordinate, MeshShape, Shape
from ttemu.tensor import Tensor

__all__ = [
    "BufferType",
    "CoreCoord",
    "CoreGrid",
    "CoreRange",
    "CoreRangeSet",
    "DataType",
    "Layout",
    "MathFidelity",
    "MemoryConfig",
    "MeshCoordinate",
    "MeshDevice",
    "MeshShape",
    "Shape",
    "ShardOrientation",
    "ShardSpec",
    "ShardStrategy",
    "StorageType",
    "Tensor",
    "TensorMemoryLayout",
    "Tile",
]

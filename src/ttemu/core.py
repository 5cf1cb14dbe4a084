"""Offer ``ttnn.core``: small helpers."""

from __future__ import annotations

from ttemu.cores import divup, num_cores_to_corerangeset
from ttemu.memory import create_sharded_memory_config
from ttemu.ops.layout import is_tensor_storage_on_device
from ttemu.tensor import Tensor

__all__ = [
    "create_sharded_memory_config",
    "divup",
    "is_sharded",
    "is_tensor_storage_on_device",
    "num_cores_to_corerangeset",
    "roundup",
]


def roundup(value: int, multiple: int) -> int:
    """Return the first multiple of ``multiple`` that is not below ``value``."""
    return divup(value, multiple) * multiple


def is_sharded(tensor: Tensor) -> bool:
    """Say whether the tensor is sharded over cores."""
    return tensor.is_sharded()

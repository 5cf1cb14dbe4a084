"""Offer ``ttnn.device``: architectures, dispatch cores and meshes."""

from __future__ import annotations

from ttemu.cluster import is_blackhole, is_wormhole_b0
from ttemu.fabric import DispatchCoreAxis, DispatchCoreConfig, DispatchCoreType
from ttemu.machine import Arch
from ttemu.mesh import MeshDevice
from ttemu.opening import close_device, get_device_ids, get_memory_view, open_device, synchronize_device

__all__ = [
    "Arch",
    "Device",
    "DispatchCoreAxis",
    "DispatchCoreConfig",
    "DispatchCoreType",
    "MeshDevice",
    "close_device",
    "get_device_ids",
    "get_memory_view",
    "is_blackhole",
    "is_wormhole_b0",
    "open_device",
    "synchronize_device",
]

Device = MeshDevice

"""Hold the counters that asynchronous collectives ask for."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from ttemu.cores import CoreRangeSet
from ttemu.memory import BufferType
from ttemu.mesh import MeshDevice

__all__ = [
    "GlobalSemaphore",
    "create_global_semaphore",
    "get_global_semaphore_address",
    "reset_global_semaphore_value",
]

_addresses = itertools.count(1 << 16, 16)


@dataclass(slots=True, kw_only=True)
class GlobalSemaphore:
    """A counter on the cores of every device of a mesh."""

    mesh_device: MeshDevice
    cores: CoreRangeSet
    value: int
    address: int = field(default_factory=lambda: next(_addresses))


def create_global_semaphore(
    mesh_device: MeshDevice,
    cores: CoreRangeSet,
    initial_value: int,
    buffer_type: BufferType = BufferType.L1,
) -> GlobalSemaphore:
    """Return a new counter set to ``initial_value``."""
    mesh_device.check_open("ttnn.create_global_semaphore")
    if not isinstance(cores, CoreRangeSet):
        raise TypeError(f"ttnn.create_global_semaphore: incompatible function arguments, cores {cores!r}")
    if buffer_type not in {BufferType.L1, BufferType.L1_SMALL}:
        raise RuntimeError(f"ttnn.create_global_semaphore: buffer type must be L1 or L1_SMALL, got {buffer_type.name}")
    return GlobalSemaphore(mesh_device=mesh_device, cores=cores, value=initial_value)


def reset_global_semaphore_value(global_semaphore: GlobalSemaphore, reset_value: int) -> None:
    """Set a counter."""
    global_semaphore.mesh_device.check_open("ttnn.reset_global_semaphore_value")
    global_semaphore.value = reset_value


def get_global_semaphore_address(global_semaphore: GlobalSemaphore) -> int:
    """Return the counter's address, different for every counter."""
    return global_semaphore.address

"""Hold the counters that asynchronous collectives ask for."""

from __future__ import annotations

from dataclasses import dataclass

from ttemu.allocator import Claim
from ttemu.cores import CoreRangeSet
from ttemu.memory import BufferType
from ttemu.mesh import MeshDevice

__all__ = [
    "GlobalSemaphore",
    "create_global_semaphore",
    "get_global_semaphore_address",
    "reset_global_semaphore_value",
]


@dataclass(slots=True, kw_only=True)
class GlobalSemaphore:
    """A counter on the cores of every device of a mesh."""

    mesh_device: MeshDevice
    cores: CoreRangeSet
    value: int
    claim: Claim


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
    _need_value("create_global_semaphore", initial_value)
    grid, end = mesh_device.compute_with_storage_grid_size(), cores.bounding_box().end
    if end.x >= grid.x or end.y >= grid.y:
        raise RuntimeError(
            f"ttnn.create_global_semaphore: Invalid shard grid: core ({end.x}, {end.y}) has no L1 bank on a chip of "
            f"{grid.x}x{grid.y} cores"
        )
    claim = mesh_device.allocator.claim_counter(buffer_type, cores.num_cores())
    return GlobalSemaphore(mesh_device=mesh_device, cores=cores, value=initial_value, claim=claim)


def _need_value(op: str, value: int) -> None:
    if not isinstance(value, int) or value < 0:
        raise TypeError(f"ttnn.{op}: incompatible function arguments, value {value!r}")


def reset_global_semaphore_value(global_semaphore: GlobalSemaphore, reset_value: int) -> None:
    """Set a counter."""
    _need_value("reset_global_semaphore_value", reset_value)
    if not isinstance(global_semaphore, GlobalSemaphore):
        raise TypeError(
            f"ttnn.reset_global_semaphore_value: incompatible function arguments, {type(global_semaphore).__name__}"
        )
    global_semaphore.mesh_device.check_open("ttnn.reset_global_semaphore_value")
    global_semaphore.value = reset_value


def get_global_semaphore_address(global_semaphore: GlobalSemaphore) -> int:
    """Return the counter's address, different for every counter."""
    return global_semaphore.claim.address

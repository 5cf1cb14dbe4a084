"""Open and close meshes of the virtual machine, and say what the machine has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ttemu import fabric, machine
from ttemu.allocator import MemoryView, Reserved
from ttemu.fabric import DispatchCoreConfig
from ttemu.memory import BufferType
from ttemu.mesh import MESH_DIMS, MeshDevice
from ttemu.shapes import MeshCoordinate, MeshShape

__all__ = [
    "CloseDevice",
    "CloseDevices",
    "CreateDevice",
    "CreateDevices",
    "GetDefaultDevice",
    "GetNumAvailableDevices",
    "GetNumPCIeDevices",
    "GetPCIeDeviceID",
    "SetDefaultDevice",
    "SystemMeshDescriptor",
    "close_device",
    "close_mesh_device",
    "create_mesh_device",
    "get_arch_name",
    "get_device_ids",
    "get_memory_view",
    "get_num_devices",
    "get_num_pcie_devices",
    "get_pcie_device_ids",
    "open_device",
    "open_mesh_device",
    "synchronize_device",
    "using_distributed_env",
]

_default: list[MeshDevice] = []


class SystemMeshDescriptor:
    """The machine's whole mesh."""

    def shape(self) -> MeshShape:
        """Return rows and columns of the machine."""
        host = machine.current()
        return MeshShape(host.rows, host.cols)

    def local_shape(self) -> MeshShape:
        """Return rows and columns on this host: all of them."""
        return self.shape()

    def all_local(self) -> bool:
        """Return True: the virtual machine is one host."""
        return True


def _extent(mesh_shape: MeshShape) -> tuple[int, int]:
    if not isinstance(mesh_shape, MeshShape) or mesh_shape.dims() != MESH_DIMS:
        raise TypeError(
            f"open_mesh_device(): incompatible function arguments, mesh_shape {mesh_shape!r}; "
            "give ttnn.MeshShape(rows, cols)"
        )
    return mesh_shape[0], mesh_shape[1]


def open_mesh_device(
    mesh_shape: MeshShape | None = None,
    l1_small_size: int = 0,
    trace_region_size: int = 0,
    num_command_queues: int = 1,
    dispatch_core_config: DispatchCoreConfig | None = None,
    offset: MeshCoordinate | None = None,
    physical_device_ids: Sequence[int] = (),
    worker_l1_size: int | None = None,
) -> MeshDevice:
    """Open a mesh of ``mesh_shape``, by default of the whole machine."""
    del num_command_queues, dispatch_core_config, offset
    host = machine.current()
    rows, cols = (host.rows, host.cols) if mesh_shape is None else _extent(mesh_shape)
    if rows < 1 or cols < 1:
        raise RuntimeError(f"open_mesh_device: mesh [{rows}, {cols}] has zero devices")
    if rows * cols > host.num_devices:
        raise RuntimeError(
            f"open_mesh_device: mesh [{rows}, {cols}] requires {rows * cols} devices, "
            f"but only {host.num_devices} are available on machine {host.name} [{host.rows}, {host.cols}]"
        )
    if not host.fits(rows, cols):
        raise RuntimeError(
            f"open_mesh_device: mesh [{rows}, {cols}] does not fit into machine {host.name} [{host.rows}, {host.cols}]"
        )
    ids = list(physical_device_ids) or host.ids(rows, cols)
    if len(ids) != rows * cols or not set(ids) <= set(range(host.num_devices)):
        raise RuntimeError(f"open_mesh_device: physical_device_ids {ids} do not fill mesh [{rows}, {cols}]")
    reserved = Reserved(
        l1_small_size=l1_small_size, trace_region_size=trace_region_size, worker_l1_size=worker_l1_size or 0
    )
    config = fabric.get_fabric_config()
    return MeshDevice(rows, cols, host=host, fabric_config=config, device_ids=ids, reserved=reserved)


def close_mesh_device(mesh_device: MeshDevice) -> None:
    """Close a mesh."""
    mesh_device.close()


@contextmanager
def create_mesh_device(mesh_shape: MeshShape, **kwargs: object) -> Iterator[MeshDevice]:
    """Open a mesh for the length of a ``with`` block."""
    mesh = open_mesh_device(mesh_shape, **kwargs)  # type: ignore[arg-type]  # checked by the call itself
    try:
        yield mesh
    finally:
        close_mesh_device(mesh)


def open_device(*, device_id: int = 0, l1_small_size: int = 0, trace_region_size: int = 0) -> MeshDevice:
    """Open one device as a 1x1 mesh."""
    return open_mesh_device(MeshShape(1, 1), l1_small_size, trace_region_size, physical_device_ids=[device_id])


def close_device(device: MeshDevice) -> None:
    """Close a mesh of one device."""
    device.close()


def CreateDevice(  # noqa: N802 - ttnn's own name
    device_id: int,
    num_command_queues: int = 1,
    l1_small_size: int = 0,
    trace_region_size: int = 0,
    dispatch_core_config: DispatchCoreConfig | None = None,
    *,
    worker_l1_size: int | None = None,
) -> MeshDevice:
    """Open one device as a 1x1 mesh."""
    return open_mesh_device(
        MeshShape(1, 1),
        l1_small_size,
        trace_region_size,
        num_command_queues,
        dispatch_core_config,
        physical_device_ids=[device_id],
        worker_l1_size=worker_l1_size,
    )


def CreateDevices(device_ids: Sequence[int], **kwargs: object) -> dict[int, MeshDevice]:  # noqa: N802 - ttnn's own name
    """Open several devices, each as a 1x1 mesh."""
    return {device_id: CreateDevice(device_id, **kwargs) for device_id in device_ids}  # type: ignore[arg-type]


CloseDevice = close_device


def CloseDevices(devices: Mapping[int, MeshDevice]) -> None:  # noqa: N802 - ttnn's own name
    """Close several devices."""
    for device in devices.values():
        device.close()


def GetPCIeDeviceID(device_id: int) -> int:  # noqa: N802 - ttnn's own name
    """Return the chip through which ``device_id`` is reached: itself, as every emulated chip has PCIe."""
    return device_id


def synchronize_device(device: MeshDevice, cq_id: int | None = None, sub_device_ids: Sequence[object] = ()) -> None:
    """Return at once: every emulated op has finished when it returns."""
    del cq_id, sub_device_ids
    device.check_open("synchronize_device")


def get_memory_view(device: MeshDevice, buffer_type: BufferType) -> MemoryView:
    """Return how full one kind of a mesh's memory is, per bank of each device."""
    device.check_open("ttnn.get_memory_view")
    return device.allocator.regions[buffer_type].view()


def get_num_devices() -> int:
    """Return the number of chips of the machine."""
    return machine.current().num_devices


def get_num_pcie_devices() -> int:
    """Return the number of chips: every emulated chip has PCIe."""
    return machine.current().num_devices


GetNumAvailableDevices = get_num_devices
GetNumPCIeDevices = get_num_pcie_devices


def get_device_ids() -> list[int]:
    """Return the ids of all chips."""
    return list(range(get_num_devices()))


get_pcie_device_ids = get_device_ids


def get_arch_name() -> str:
    """Return the architecture of the machine's chips, such as ``wormhole_b0``."""
    return machine.current().arch.name.lower()


def using_distributed_env() -> bool:
    """Return False: the virtual machine is one host."""
    return False


def SetDefaultDevice(device: MeshDevice | None) -> None:  # noqa: N802 - ttnn's own name
    """Remember a device for ops that are given none."""
    _default[:] = [] if device is None else [device]


def GetDefaultDevice() -> MeshDevice | None:  # noqa: N802 - ttnn's own name
    """Return the remembered device."""
    return _default[0] if _default else None

"""Hold a rectangle of virtual devices, cut it into smaller ones, and close it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ttemu import machine
from ttemu.allocator import Allocator, Reserved
from ttemu.cores import CoreCoord, CoreGrid
from ttemu.fabric import FabricConfig
from ttemu.machine import Arch
from ttemu.shapes import MeshCoordinate, MeshShape
from ttemu.subdevice import SubDevice, SubDeviceId, SubDeviceManagerId

__all__ = ["MeshDevice"]

_ids = itertools.count(1)
MESH_DIMS = 2


class MeshDevice:
    """A rectangle of devices of the virtual machine."""

    def __init__(
        self,
        rows: int,
        cols: int,
        *,
        host: machine.Machine,
        fabric_config: FabricConfig,
        device_ids: Sequence[int],
        parent: MeshDevice | None = None,
        reserved: Reserved | None = None,
    ) -> None:
        self.rows, self.cols = rows, cols
        self.span = (rows, cols)
        self.fabric_config = fabric_config
        self.is_open = True
        self.has_run = False
        # A submesh has an allocator of its own, as in ttnn: what parent and child hold is not added up.
        self.allocator = Allocator(host.chip, host.worker_grid, reserved or Reserved())
        self._reserved = reserved
        self._host = host
        self._device_ids = tuple(device_ids)
        self._id = next(_ids)
        self._parent = parent
        self._submeshes: list[MeshDevice] = []

    @property
    def shape(self) -> MeshShape:
        """Rows and columns."""
        return MeshShape(self.rows, self.cols)

    @property
    def core_grid(self) -> CoreGrid:
        """Worker cores of each device."""
        grid = self._host.worker_grid
        return CoreGrid(y=grid.y, x=grid.x)

    def id(self) -> int:
        """Return a number that no other mesh of this process has."""
        return self._id

    def arch(self) -> Arch:
        """Return the architecture of the chips."""
        return self._host.arch

    def get_num_devices(self) -> int:
        """Return the number of devices."""
        return self.rows * self.cols

    def get_device_ids(self) -> list[int]:
        """Return the ids of the devices in the machine, row-major."""
        return list(self._device_ids)

    def get_device_id(self, coord: MeshCoordinate) -> int:
        """Return the id of the device at ``coord``."""
        row, col = coord
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise RuntimeError(f"get_device_id: coordinate {coord} lies outside {self.shape}")
        return self._device_ids[row * self.cols + col]

    def compute_with_storage_grid_size(self) -> CoreCoord:
        """Return columns and rows of worker cores."""
        return self._host.worker_grid

    def dram_grid_size(self) -> CoreCoord:
        """Return columns and rows of DRAM banks."""
        return CoreCoord(self._host.chip.dram_banks, 1)

    def get_optimal_dram_bank_to_logical_worker_assignment(self, noc: int) -> list[CoreCoord]:
        """Refuse: only kernels of a model's own place themselves beside memory banks."""
        raise NotImplementedError(
            "MeshDevice.get_optimal_dram_bank_to_logical_worker_assignment is not emulated; it serves kernels such as "
            "ttnn.experimental.moe_gpt, which are not emulated either"
        )

    def create_submesh(self, submesh_shape: MeshShape, offset: MeshCoordinate | None = None) -> MeshDevice:
        """Return a mesh of some of the devices; it must be closed before this one."""
        self.check_open("create_submesh")
        if not isinstance(submesh_shape, MeshShape) or not isinstance(offset, (MeshCoordinate, type(None))):
            raise TypeError(f"create_submesh: incompatible function arguments {submesh_shape!r}, {offset!r}")
        rows, cols = submesh_shape
        top, left = offset if offset is not None else (0, 0)
        if min(rows, cols) < 1:
            raise RuntimeError(f"create_submesh: all dimensions of {submesh_shape} must be positive")
        if top + rows > self.rows or left + cols > self.cols or min(top, left) < 0:
            raise RuntimeError(f"create_submesh: {submesh_shape} at ({top}, {left}) does not fit into {self.shape}")
        ids = [
            self._device_ids[row * self.cols + col]
            for row in range(top, top + rows)
            for col in range(left, left + cols)
        ]
        child = MeshDevice(
            rows,
            cols,
            host=self._host,
            fabric_config=self.fabric_config,
            device_ids=ids,
            parent=self,
            reserved=self._reserved,
        )
        self._submeshes.append(child)
        return child

    def create_submeshes(self, submesh_shape: MeshShape) -> list[MeshDevice]:
        """Cut the mesh into equal submeshes, row-major."""
        rows, cols = submesh_shape
        if self.rows % rows or self.cols % cols:
            raise RuntimeError(f"create_submeshes: {self.shape} is not divisible by {submesh_shape}")
        corners = itertools.product(range(0, self.rows, rows), range(0, self.cols, cols))
        return [self.create_submesh(submesh_shape, MeshCoordinate(row, col)) for row, col in corners]

    def get_submeshes(self) -> list[MeshDevice]:
        """Return all submeshes that were created."""
        return list(self._submeshes)

    def reshape(self, new_shape: MeshShape) -> None:
        """Refuse: the emulator keeps a mesh's shape."""
        raise NotImplementedError("MeshDevice.reshape is not emulated; open the mesh in the shape that you need")

    def check_open(self, op: str) -> None:
        """Refuse a closed mesh."""
        if not self.is_open:
            raise RuntimeError(f"{op}: mesh device {self._id} of shape {self.shape} is closed")

    def close(self) -> None:
        """Close the mesh; its tensors are dead afterwards."""
        above = self.busy_ancestor() if self.is_open and self.has_run else None
        if above is not None:
            raise RuntimeError(
                f"MeshDevice cq ID 0 is in use by parent mesh ID {above.id()} during close of mesh ID {self._id}; "
                "quiesce_devices() of the parent first"
            )
        for child in self._submeshes:
            if child.is_open and child.has_run:
                raise RuntimeError(
                    f"close_mesh_device: submesh {child.shape} of {self.shape} ran ops and is still open, "
                    "the real library aborts here; close it first"
                )
            child.is_open = False
        self.is_open = False

    def busy_ancestor(self) -> MeshDevice | None:
        """Return the nearest mesh above this one that has run ops, and was not quiesced since."""
        if self._parent is None or self._parent.has_run:
            return self._parent
        return self._parent.busy_ancestor()

    def quiesce_devices(self) -> None:
        """Wait until this mesh and its submeshes have done all work, so that each can be closed."""
        self.check_open("quiesce_devices")
        self.has_run = False
        for child in self._submeshes:
            if child.is_open:
                child.quiesce_devices()

    def enable_program_cache(self) -> None:
        """Accept and ignore: the emulator compiles nothing."""

    def disable_and_clear_program_cache(self) -> None:
        """Accept and ignore: the emulator compiles nothing."""

    def num_program_cache_entries(self) -> int:
        """Return 0: the emulator compiles nothing."""
        return 0

    def create_sub_device_manager(self, sub_devices: Sequence[SubDevice], local_l1_size: int = 0) -> SubDeviceManagerId:
        """Accept and ignore: an emulated op uses no cores."""
        del sub_devices, local_l1_size
        return SubDeviceManagerId(0)

    def load_sub_device_manager(self, sub_device_manager_id: SubDeviceManagerId) -> None:
        """Accept and ignore: an emulated op uses no cores."""

    def clear_loaded_sub_device_manager(self) -> None:
        """Accept and ignore: an emulated op uses no cores."""

    def remove_sub_device_manager(self, sub_device_manager_id: SubDeviceManagerId) -> None:
        """Accept and ignore: an emulated op uses no cores."""

    def set_sub_device_stall_group(self, sub_device_ids: Sequence[SubDeviceId]) -> None:
        """Accept and ignore: an emulated op has finished when it returns."""

    def reset_sub_device_stall_group(self) -> None:
        """Accept and ignore: an emulated op has finished when it returns."""

    def clear_program_cache(self) -> None:
        """Accept and ignore: the emulator compiles nothing."""

    def __enter__(self) -> MeshDevice:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MeshDevice({self.rows}x{self.cols} grid, {self.get_num_devices()} devices)"

"""The emulator under the name ``ttnn``, loaded when a test first imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import MappingProxyType, ModuleType
from typing import Any

from meshsweep.backends.simulated import obey, reset
from meshsweep.backends.ttnn import TtnnBackend
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["EmulatedBackend"]

_EMULATOR = "ttemu"


#: Machines that the emulator knows by name, and the rows and columns that it counts their chips by.
_GRIDS = {
    "n150": (1, 1),
    "n300": (1, 2),
    "t3k": (2, 4),
    "galaxy": (8, 4),
    "p150": (1, 1),
    "p300": (1, 2),
    "p150x4": (1, 4),
    "p150x8": (1, 8),
    "bhgalaxy": (4, 8),
}


class EmulatedBackend(TtnnBackend):
    """Opens meshes of the emulator; its machine is as much of a real one as the slot has, or a virtual one."""

    forks = True
    # Huge pages for large tensors, which come and go by the hundred at real sizes.
    variables: Mapping[str, str] = MappingProxyType({"THP_MEM_ALLOC_ENABLE": "1"})
    # Its chips break by simulated faults only: no tensor library is loaded to find them.
    probes_with = "simulated"
    probe_deadline_s = 20.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._slot: Slot | None = None
        self._missing = 0

    def inventory(self, machine: str) -> str:
        """Return the machine itself: there are as many as are named."""
        return machine

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh], machine: Machine | None = None) -> None:
        """Make ``import ttnn`` mean the emulator, even where the real one is installed."""
        for name, value in self.variables.items():
            os.environ.setdefault(name, value)
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        self._slot = slot
        if slot is not None:
            # Whatever is said of chips of the host does not mean these.
            os.environ.pop("TT_VISIBLE_DEVICES", None)
            if slot.chips:
                os.environ.update(_confine(slot, machine))

    def open(self, mesh: Mesh) -> Any:
        """Open a mesh as simulated faults of its chips allow."""
        chips = self._slot.chips if self._slot is not None else ()
        self._missing = obey(self._slot, chips[: mesh.shape.devices])
        return super().open(mesh)

    def identity(self, device: Any) -> tuple[MeshShape, int]:
        """Return what an open mesh says of itself, less the chips that are missing by a simulated fault."""
        shape, chips = super().identity(device)
        return shape, chips - self._missing

    def reset(self, slot: Slot, machine: Machine, files: Sequence[int]) -> bool:
        """Count a simulated reset."""
        return reset(slot, machine)


def _confine(slot: Slot, machine: Machine | None) -> dict[str, str]:
    """Return what tells the emulator of a machine with no more chips than the slot, lying as they do."""
    if machine is None or machine.shape is None:
        return {"TTEMU_MACHINE": slot.machine}
    shape = machine.shape
    grid = _GRIDS.get(machine.name, (0, 0))
    name = machine.name if grid[0] * grid[1] == shape.devices else str(shape)
    rows, cols = grid if name == machine.name else (shape.rows, shape.cols)
    if len(slot.chips) == shape.devices:
        return {"TTEMU_MACHINE": name}
    places = [(chip.row, chip.col) for chip in machine.chips if chip.id in slot.chips]
    height, width = (len({place[axis] for place in places}) for axis in (0, 1))
    if height > rows or width > cols:
        height, width = width, height
    ids = [row * cols + col for row in range(min(height, rows)) for col in range(min(width, cols))]
    if len(ids) != len(slot.chips):
        ids = list(range(len(slot.chips)))
    return {"TTEMU_MACHINE": name, "TT_VISIBLE_DEVICES": ",".join(map(str, ids))}


class _Finder(MetaPathFinder, Loader):
    """Finds ``ttnn``: importing the emulator costs torch, so it waits for a test that needs it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == "ttnn" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        from importlib import import_module

        import_module(_EMULATOR).install()

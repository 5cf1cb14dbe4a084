"""Meshes that are no more than a shape and chips: for suites that try meshsweep itself, without a tensor library."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from meshsweep.backends import faults
from meshsweep.leases import place
from meshsweep.leases.record import Record
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["SimulatedBackend", "SimulatedMesh", "obey", "reset"]

#: Until somebody ends the process.
_FOR_EVER_S = 10.0**6


@dataclass(kw_only=True)
class SimulatedMesh:
    """An open mesh: its shape, and the chips that it was opened on, none on a virtual machine."""

    shape: MeshShape
    chips: tuple[int, ...]
    missing: int = 0
    is_open: bool = True
    record: Record = field(repr=False, compare=False)


class SimulatedBackend:
    """Opens simulated meshes, which obey the slot and ``MESHSWEEP_FAULTS``."""

    forks = True
    variables: Mapping[str, str] = MappingProxyType({})
    probes_with: str | None = "simulated"
    probe_deadline_s = 20.0

    def __init__(self, environment: Environment) -> None:
        del environment
        self._slot: Slot | None = None

    def inventory(self, machine: str) -> str:
        """Return the machine itself: there are as many as are named."""
        return machine

    def activate(self, slot: Slot | None, meshes: Sequence[Mesh], machine: Machine | None = None) -> None:
        """Remember the slot."""
        self._slot = slot

    def open(self, mesh: Mesh) -> SimulatedMesh:
        """Open a mesh on the first chips of the slot, and record that they are open."""
        chips = self._slot.chips if self._slot is not None else ()
        if chips and mesh.shape.devices > len(chips):
            raise RuntimeError(f"mesh {mesh.shape} requires {mesh.shape.devices} chips, but the slot has {len(chips)}")
        chips = chips[: mesh.shape.devices]
        # Written by the devices themselves, which know of no lock: a second opening process would show.
        record = Record(place.log(os.environ), self._slot.machine if self._slot is not None else "")
        record.take("device", chips)
        try:
            missing = obey(self._slot, chips)
        except RuntimeError:
            record.release("device", chips)
            raise
        return SimulatedMesh(shape=mesh.shape, chips=chips, missing=missing, record=record)

    def identity(self, device: SimulatedMesh) -> tuple[MeshShape, int]:
        """Return shape and number of chips of an open mesh."""
        return device.shape, device.shape.devices - device.missing

    def spent(self, device: SimulatedMesh) -> bool:
        """Say that an open mesh serves for any number of tests."""
        return False

    def close(self, device: SimulatedMesh) -> None:
        """Record that the chips are closed."""
        device.is_open = False
        device.record.release("device", device.chips)

    def reset(self, slot: Slot, machine: Machine, files: Sequence[int]) -> bool:
        """Count a reset, which may have cured simulated faults."""
        return reset(slot, machine)


def obey(slot: Slot | None, chips: Sequence[int]) -> int:
    """Fail or hang as the simulated faults of ``chips`` say; returns how many chips are missing."""
    if slot is None or not chips:
        return 0
    found = faults.find(os.environ, slot.machine, chips)
    for fault in found:
        if fault.fault == "absent":
            raise RuntimeError(f"chip {fault.chip} of {slot.machine} does not open (simulated)")
        if fault.fault == "hang":
            time.sleep(_FOR_EVER_S)
    return len(found)


def reset(slot: Slot, machine: Machine) -> bool:
    """Count a simulated reset of a slot's boards."""
    faults.count_reset(os.environ, slot.machine, machine.leased_with(slot.chips))
    return True

"""A slot: the devices that one worker holds."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["Slot", "most", "whole"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The devices of one worker: chip ids of a machine in the order of the mesh that they open.

    A slot of a virtual machine has no chips; its mesh is None, as for a whole machine: it opens any.
    """

    name: str
    machine: str
    chips: tuple[int, ...]
    mesh: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the slot as JSON values."""
        return {"name": self.name, "machine": self.machine, "mesh": self.mesh, "chips": list(self.chips)}

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Slot:
        """Return the slot that ``to_json`` wrote."""
        chips, mesh = data["chips"], data.get("mesh")
        assert isinstance(chips, list)
        name, machine = str(data["name"]), str(data["machine"])
        return cls(name=name, machine=machine, chips=tuple(chips), mesh=None if mesh is None else str(mesh))


def whole(machine: Machine) -> Slot:
    """Return the slot of a process that runs alone: all that the machine has."""
    return Slot(name=f"{machine.name}.0", machine=machine.name, chips=tuple(chip.id for chip in machine.chips))


def most(machine: Machine, shape: MeshShape) -> int:
    """Return how many slots of a mesh the machine holds at the same time, taken one after another; 0 for none."""
    taken: frozenset[int] = frozenset()
    number = 0
    for chips in machine.placements(shape):
        leased = machine.leased_with(chips)
        if not leased & taken:
            taken |= leased
            number += 1
    return number

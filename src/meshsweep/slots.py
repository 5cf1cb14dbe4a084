"""Cut a machine into slots: the devices that one worker holds."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.errors import SelectionError
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

__all__ = ["Slot", "slots_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The devices of one worker: chip ids of a machine in the order of the mesh that they open.

    A slot of a virtual machine has no chips and opens any mesh: its mesh is None.
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


def slots_for(machine: Machine, shape: MeshShape, *, limit: int) -> tuple[Slot, ...]:
    """Return at most ``limit`` slots that can each open a mesh of ``shape``.

    Raises SelectionError where the machine cannot hold the mesh even once.
    """
    groups = _groups(machine, shape, limit)
    if not groups:
        raise SelectionError(
            f"mesh {shape} ({shape.devices} devices) does not fit machine {machine.name!r} "
            f"(system mesh {machine.shape}); choose another --machine or a smaller mesh"
        )
    return tuple(
        Slot(name=f"{machine.name}.{number}", machine=machine.name, chips=chips)
        for number, chips in enumerate(groups[:limit])
    )


def _groups(machine: Machine, shape: MeshShape, limit: int) -> list[tuple[int, ...]]:
    if machine.shape is None:
        return [()] * limit
    taken: frozenset[int] = frozenset()
    groups = []
    for chips in machine.placements(shape):
        leased = machine.leased_with(chips)
        if not leased & taken:
            taken |= leased
            groups.append(chips)
    return groups

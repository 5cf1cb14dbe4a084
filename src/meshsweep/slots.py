"""Cut a machine into slots: the devices that one worker holds."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.errors import SelectionError
from meshsweep.matrix import Machine
from meshsweep.shape import MeshShape, cut

__all__ = ["Slot", "slots_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The devices of one worker: chip ids of a machine, or none where it is virtual."""

    name: str
    machine: str
    chips: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """Return the slot as JSON values."""
        return {"name": self.name, "machine": self.machine, "chips": list(self.chips)}

    @classmethod
    def from_json(cls, data: dict[str, object]) -> Slot:
        """Return the slot that ``to_json`` wrote."""
        chips = data["chips"]
        assert isinstance(chips, list)
        return cls(name=str(data["name"]), machine=str(data["machine"]), chips=tuple(chips))


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


def _groups(machine: Machine, shape: MeshShape, limit: int) -> tuple[tuple[int, ...], ...]:
    if machine.shape is None:
        return ((),) * limit
    rectangles = cut(machine.shape, shape)
    if rectangles or shape not in machine.also_opens:
        return rectangles
    return (tuple(range(machine.shape.devices)),)

"""Slots, and how many of a mesh a machine holds."""

from __future__ import annotations

import json

import pytest

from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot, most, whole
from meshsweep.shape import MeshShape


@pytest.mark.parametrize(
    ("machine", "mesh", "number"),
    [("galaxy", "1x8", 4), ("galaxy", "4x4", 2), ("galaxy", "1x1", 32), ("t3k", "1x8", 1), ("n300", "4x4", 0)],
)
def test_machine_holds_so_many_slots(declared: Matrix, machine: str, mesh: str, number: int) -> None:
    assert most(declared.machines[machine], MeshShape.parse(mesh)) == number


def test_process_alone_has_whole_machine(declared: Matrix) -> None:
    assert whole(declared.machines["n300"]) == Slot(name="n300.0", machine="n300", chips=(0, 1))
    assert whole(declared.machines["virtual"]) == Slot(name="virtual.0", machine="virtual", chips=())


@pytest.mark.parametrize("mesh", ["1x2", None])
def test_slot_survives_json(mesh: str | None) -> None:
    slot = Slot(name="galaxy.1", machine="galaxy", mesh=mesh, chips=(8, 9))

    assert Slot.from_json(json.loads(json.dumps(slot.to_json()))) == slot

"""Machines cut into slots."""

from __future__ import annotations

import json

import pytest

from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.shape import MeshShape
from meshsweep.slots import Slot, slots_for


def chips(matrix: Matrix, machine: str, mesh: str, limit: int = 99) -> list[tuple[int, ...]]:
    """Return the devices of each slot."""
    return [slot.chips for slot in slots_for(matrix.machines[machine], MeshShape.parse(mesh), limit=limit)]


def test_ring_mesh_takes_whole_t3k(declared: Matrix) -> None:
    assert chips(declared, "t3k", "1x8") == [(0, 1, 2, 3, 7, 6, 5, 4)]


def test_galaxy_holds_four_rows(declared: Matrix) -> None:
    assert chips(declared, "galaxy", "1x8") == [tuple(range(row * 8, row * 8 + 8)) for row in range(4)]


def test_galaxy_holds_two_squares(declared: Matrix) -> None:
    left, right = chips(declared, "galaxy", "4x4")

    assert left == (0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
    assert set(left) | set(right) == set(range(32))


def test_limit_bounds_number_of_slots(declared: Matrix) -> None:
    assert chips(declared, "galaxy", "1x1", limit=3) == [(0,), (1,), (2,)]


def test_virtual_machine_has_slots_without_chips(declared: Matrix) -> None:
    slots = slots_for(declared.machines["virtual"], MeshShape.parse("4x4"), limit=2)

    assert slots == (
        Slot(name="virtual.0", machine="virtual", chips=()),
        Slot(name="virtual.1", machine="virtual", chips=()),
    )


@pytest.mark.parametrize(
    ("machine", "mesh", "message"),
    [
        ("t3k", "4x4", "mesh 4x4 (16 devices) does not fit machine 't3k' (system mesh 2x4)"),
        ("n300", "1x8", "mesh 1x8 (8 devices) does not fit machine 'n300' (system mesh 1x2)"),
    ],
)
def test_mesh_too_large_names_both(declared: Matrix, machine: str, mesh: str, message: str) -> None:
    with pytest.raises(SelectionError) as caught:
        chips(declared, machine, mesh)

    assert str(caught.value) == f"{message}; choose another --machine or a smaller mesh"


def test_slot_survives_json() -> None:
    slot = Slot(name="galaxy.1", machine="galaxy", chips=(8, 9))

    assert Slot.from_json(json.loads(json.dumps(slot.to_json()))) == slot

"""What runs where and when."""

from __future__ import annotations

from meshsweep.dispatch import Close, Dispatch, Open, Run, Task
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix
from meshsweep.shape import MeshShape

MESHES = {name: MeshShape.parse(name) for name in ("1x1", "1x2", "1x4", "1x8", "2x4", "4x4", "4x8")}


def tasks(*meshes: str) -> list[Task]:
    """Return a task of one second for each mesh named."""
    return [Task(index=index, group=f"{mesh}-a", mesh=mesh, expected_s=1.0) for index, mesh in enumerate(meshes)]


def drive(machine: Machine, given: list[Task], *, workers: int | None = None) -> list[list[int]]:
    """Carry out a dispatch; return the tests that each slot ran."""
    dispatch = Dispatch(machine, MESHES, given, workers=workers, memory_bytes=None)
    ran: dict[str, list[int]] = {}
    while found := dispatch.actions():
        for action in found:
            if isinstance(action, Open):
                ran[action.slot.name] = []
                dispatch.opened(action.slot.name)
            elif isinstance(action, Run):
                ran[action.slot].append(action.task.index)
                dispatch.done(action.slot, action.task.index)
            elif isinstance(action, Close):
                dispatch.closed(action.slot)

    assert dispatch.is_finished
    return list(ran.values())


def test_every_test_runs_once(declared: Matrix) -> None:
    given = tasks("1x1", "4x8", "1x8", "4x4", "1x1", "4x4", "1x2")

    ran = drive(declared.machines["galaxy"], given)

    assert sorted(index for indices in ran for index in indices) == list(range(7))


def test_virtual_machine_opens_a_slot_per_worker(declared: Matrix) -> None:
    dispatch = Dispatch(declared.machines["virtual"], MESHES, tasks("4x8", "1x1", "1x2"), workers=2, memory_bytes=None)

    found = dispatch.actions()

    assert [type(action) for action in found] == [Open, Open]

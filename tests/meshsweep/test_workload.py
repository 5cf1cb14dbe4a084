"""Collected tests as what a dispatch is given."""

from __future__ import annotations

from dataclasses import replace

from meshsweep.dispatch import Open, Task
from meshsweep.matrix import Matrix
from meshsweep.planning import workload

TESTS = [("a[1x2]", "1x2-bfloat16-tiny"), ("b", "no mesh"), ("c[1x2]", "1x2-bfloat16-tiny")]


def test_task_has_mesh_time_and_memory_of_its_test(declared: Matrix) -> None:
    matrix = replace(declared, scales={"tiny": replace(declared.scales["tiny"], memory_bytes=7)})
    found = workload.tasks(TESTS, matrix, declared.environments["fake"], {"fake|a[1x2]": [2.0, 3.0, 9.0]})

    assert found == [
        Task(index=0, group="1x2-bfloat16-tiny", mesh="1x2", expected_s=3.0, memory_bytes=7),
        Task(index=1, group="no mesh", mesh="", expected_s=None),
        Task(index=2, group="1x2-bfloat16-tiny", mesh="1x2", expected_s=None, memory_bytes=7),
    ]


def test_what_is_done_keeps_its_number(declared: Matrix) -> None:
    found = workload.tasks(TESTS, declared, declared.environments["fake"], {}, done={"a[1x2]"})

    assert [task.index for task in found] == [1, 2]


def test_dispatch_opens_slots_of_the_meshes(declared: Matrix) -> None:
    environment = declared.environments["fake"]
    tasks = workload.tasks(TESTS, declared, environment, {})
    made = workload.dispatch(declared.machines["n300"], declared, environment, tasks, workers=2, memory_bytes=None)
    (opened,) = made.actions(0.0)

    assert isinstance(opened, Open)
    assert (opened.slot.mesh, opened.slot.chips) == ("1x2", (0, 1))

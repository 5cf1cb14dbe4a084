"""What runs where and when."""

from __future__ import annotations

import pytest

from meshsweep.dispatch import Action, Close, Dispatch, Estimate, Next, Open, Policy, Run, Task, best, simulate
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

from .machines import host

MESHES = {name: MeshShape.parse(name) for name in ("1x1", "1x2", "1x4", "1x8", "2x4", "4x4", "4x8")}
GALAXY = host("4x8", rings=("1x8",))
VIRTUAL = Machine(name="virtual", about="", shape=None, runner=())


def tasks(*meshes: str, seconds: float = 1.0, memory_bytes: int = 0) -> list[Task]:
    """Return a task for each mesh named, all tests of a mesh in one cell."""
    return [
        Task(index=index, group=f"{mesh}-a", mesh=mesh, expected_s=seconds, memory_bytes=memory_bytes)
        for index, mesh in enumerate(meshes)
    ]


def cells(*named: tuple[str, float]) -> list[Task]:
    """Return a task of a mesh for each cell and seconds."""
    return [Task(index=n, group=cell, mesh="1x1", expected_s=seconds) for n, (cell, seconds) in enumerate(named)]


class Sweep:
    """A dispatch, and what it has said so far."""

    def __init__(
        self,
        machine: Machine,
        given: list[Task],
        *,
        workers: int | None = None,
        memory_bytes: int | None = None,
        ahead_s: float = 0.0,
        policy: Policy | None = None,
    ) -> None:
        self.dispatch = Dispatch(
            machine,
            MESHES,
            given,
            workers=workers,
            memory_bytes=memory_bytes,
            open_s=1.0,
            ahead_s=ahead_s,
            policy=policy,
        )

    def opens(self, now_s: float = 0.0) -> list[Open]:
        """Return the slots that are opened now, and take them as ready."""
        found = [action for action in self.dispatch.actions(now_s) if isinstance(action, Open)]
        for action in found:
            self.dispatch.opened(action.slot.name)
        return found

    def told(self, now_s: float = 0.0) -> list[Action]:
        """Return what is to be done now."""
        return self.dispatch.actions(now_s)


def ran(machine: Machine, given: list[Task], **limits: int | None) -> list[tuple[str, list[int]]]:
    """Return the mesh of each slot in the order of opening, and the tests that it ran."""
    seconds = {task.index: task.expected_s or 1.0 for task in given}
    made = Dispatch(machine, MESHES, given, **{"workers": None, "memory_bytes": None, **limits})
    timeline = simulate(made, seconds)
    found = {
        slot.name: (slot.mesh or "", [bar.task.index for bar in timeline.bars if bar.task and bar.slot == slot.name])
        for slot in timeline.slots
    }
    return list(found.values())


def test_slots_of_several_meshes_stand_beside_each_other() -> None:
    opened = [action.slot for action in Sweep(GALAXY, tasks("4x4", "1x8", "1x8")).opens()]

    assert [slot.mesh for slot in opened] == ["4x4", "1x8", "1x8"]
    assert sorted(chip for slot in opened for chip in slot.chips) == list(range(32))


def test_ring_is_laid_only_where_no_row_is_free() -> None:
    """Of the chips that are left, the ring in a corner would spoil less for the 2x4."""
    sweep = Sweep(host("4x4", rings=("1x4",)), tasks("1x4"))
    sweep.dispatch.spoiled(frozenset({0, 5}))
    (row,) = sweep.opens()
    (ring,) = Sweep(host("2x2", rings=("1x4",)), tasks("1x4")).opens()

    assert row.slot.chips == (8, 9, 10, 11)
    assert ring.slot.chips == (0, 1, 3, 2)


def test_virtual_slots_open_any_mesh() -> None:
    (first, second) = Sweep(VIRTUAL, tasks("4x8", "1x1", "1x2"), workers=2).opens()

    assert (first.slot.mesh, first.slot.chips) == (None, ())
    assert (first.slot.name, second.slot.name) == ("virtual.0", "virtual.1")


def test_no_more_slots_than_tests() -> None:
    assert len(Sweep(VIRTUAL, tasks("1x1", "1x1"), workers=8).opens()) == 2


def test_longest_test_goes_first() -> None:
    assert ran(host("1x1"), cells(("a", 1.0), ("a", 3.0), ("a", 2.0))) == [("1x1", [1, 2, 0])]


def test_tests_of_a_cell_stay_together() -> None:
    given = cells(("a", 2.0), ("b", 1.9), ("a", 1.0), ("b", 0.9))

    assert ran(VIRTUAL, given, workers=2) == [("", [0, 2]), ("", [1, 3])]


def test_idle_worker_helps_with_the_heaviest_cell() -> None:
    given = cells(("a", 3.0), ("a", 2.0), ("a", 1.0), ("b", 1.0))

    assert ran(VIRTUAL, given, workers=2) == [("", [0, 2]), ("", [3, 1])]


def test_slot_is_closed_when_nothing_is_left_for_it() -> None:
    sweep = Sweep(host("1x2"), tasks("1x2"))
    (opened,) = sweep.opens()
    name = opened.slot.name

    assert sweep.told() == [Run(slot=name, task=tasks("1x2")[0])]
    sweep.dispatch.done(name, 0)
    assert sweep.told() == [Close(slot=name)]
    sweep.dispatch.closed(name)
    assert sweep.dispatch.is_finished
    assert sweep.told() == []


def test_large_mesh_is_not_starved_by_small_ones() -> None:
    """Chips are kept for it: only tests that end before all of them are free still start there."""
    machine, given = host("1x2"), [*tasks("1x1", "1x1", "1x1", "1x1", seconds=10.0)]
    sweep = Sweep(machine, given)
    first, second = (action.slot.name for action in sweep.opens())
    sweep.told(0.0)
    sweep.dispatch.again(Task(index=9, group="1x2-a", mesh="1x2", expected_s=5.0))
    sweep.told(1.0)
    sweep.dispatch.done(first, 0)

    assert sweep.told(10.0) == [Close(slot=first)]
    sweep.dispatch.closed(first)
    sweep.dispatch.done(second, 1)
    assert sweep.told(10.0) == [Close(slot=second)]
    sweep.dispatch.closed(second)
    (opened,) = sweep.opens(10.0)
    assert opened.slot.mesh == "1x2"


def test_whole_boards_are_held() -> None:
    machine = host("2x4", paired=True)

    assert len(Sweep(machine, tasks(*["1x1"] * 8)).opens()) == 4


def test_refused_chips_are_left_alone_until_available() -> None:
    sweep = Sweep(host("1x2"), tasks("1x2"))
    (opened,) = (action for action in sweep.told() if isinstance(action, Open))
    sweep.dispatch.refused(opened.slot.name)

    assert sweep.told() == []
    sweep.dispatch.available(frozenset({0}))
    assert sweep.told() == []
    sweep.dispatch.available(frozenset({1}))
    (again,) = sweep.opens()
    assert again.slot.name == "host.1"


def test_lost_test_runs_on_other_chips() -> None:
    sweep = Sweep(host("1x2"), tasks("1x1"))
    (opened,) = sweep.opens()
    (run,) = sweep.told()
    assert isinstance(run, Run)
    sweep.dispatch.lost(opened.slot.name)
    sweep.dispatch.available(frozenset(opened.slot.chips))
    sweep.dispatch.again(run.task, avoid=frozenset(opened.slot.chips))
    (other,) = sweep.opens()

    assert set(other.slot.chips).isdisjoint(opened.slot.chips)


def test_lost_test_runs_on_the_same_chips_where_no_others_are() -> None:
    sweep = Sweep(host("1x1"), tasks("1x1"))
    (opened,) = sweep.opens()
    sweep.told()
    sweep.dispatch.lost(opened.slot.name)
    sweep.dispatch.available(frozenset({0}))
    sweep.dispatch.again(tasks("1x1")[0], avoid=frozenset({0}))

    assert [action.slot.chips for action in sweep.opens()] == [(0,)]


def test_memory_bounds_what_runs_at_the_same_time() -> None:
    given = tasks("1x1", "1x1", "1x1", memory_bytes=3)
    sweep = Sweep(host("1x4"), given, memory_bytes=7)

    assert len(sweep.opens()) == 2
    assert sorted(index for _, found in ran(host("1x4"), given, memory_bytes=7) for index in found) == [0, 1, 2]


@pytest.mark.parametrize(
    ("machine", "given", "memory_bytes", "reason"),
    [
        (host("1x2"), tasks("2x4"), None, "mesh 2x4 does not fit machine host (system mesh 1x2)"),
        (
            host("1x2"),
            tasks("1x1", memory_bytes=3_000_000_000),
            2_000_000_000,
            "needs 3.0 GB of host memory, more than the budget of 2.0 GB",
        ),
    ],
)
def test_what_can_never_run_is_told_with_its_reason(
    machine: Machine, given: list[Task], memory_bytes: int | None, reason: str
) -> None:
    sweep = Sweep(machine, given, memory_bytes=memory_bytes)

    assert sweep.told() == []
    assert sweep.dispatch.impossible() == [(given[0], reason)]
    assert sweep.dispatch.impossible() == []
    assert sweep.dispatch.is_finished


@pytest.mark.parametrize(
    ("mesh", "what"), [("1x2", "mesh 1x2"), ("", "a test without a mesh")], ids=["mesh", "no mesh"]
)
def test_spoiled_chips_make_tests_impossible(mesh: str, what: str) -> None:
    sweep = Sweep(host("1x2"), tasks(mesh))
    sweep.dispatch.spoiled(frozenset({0, 1}))

    assert sweep.dispatch.impossible() == [(tasks(mesh)[0], f"no healthy chips are left on host for {what}")]


def test_test_without_a_mesh_takes_any_slot() -> None:
    given = [*tasks("1x2", "1x2"), Task(index=2, group="no mesh", mesh="", expected_s=0.5)]

    assert ran(host("1x2"), given) == [("1x2", [0, 1, 2])]
    assert ran(host("1x2"), [Task(index=0, group="no mesh", mesh="", expected_s=1.0)])[0][1] == [0]


def test_test_without_history_is_taken_for_the_middle_of_its_neighbours() -> None:
    known = [
        Task(index=n, group=cell, mesh=mesh, expected_s=seconds)
        for n, (cell, mesh, seconds) in enumerate(
            [("a", "1x1", 1.0), ("a", "1x1", 2.0), ("a", "1x1", 9.0), ("b", "1x1", 4.0), ("c", "1x2", 8.0)]
        )
    ]
    estimate = Estimate(known)
    asked = [("a", "1x1"), ("new", "1x1"), ("new", "4x4")]
    new = [Task(index=9, group=cell, mesh=mesh, expected_s=None) for cell, mesh in asked]

    assert [estimate.of(task) for task in new] == [2.0, 3.0, 4.0]
    estimate.learn(new[0], 30.0)
    estimate.learn(new[0], 50.0)
    assert [estimate.of(task) for task in new] == [40.0, 40.0, 40.0]
    assert estimate.of(known[0]) == 1.0
    assert Estimate([]).of(new[0]) == 1.0


def test_worker_helps_where_tests_were_seen_to_be_long() -> None:
    """Two of the cell a are left and three of b; only one of a has been seen to be long."""
    given = [Task(index=n, group=cell, mesh="1x1", expected_s=None) for n, cell in enumerate("aaaabbbbbc")]
    sweep = Sweep(VIRTUAL, given, workers=3)
    opened = [action.slot.name for action in sweep.opens()]
    runs = {action.task.group: action.slot for action in sweep.told(0.0) if isinstance(action, Run)}
    sweep.dispatch.done(runs["b"], 4, 0.1)
    sweep.told(0.1)
    sweep.dispatch.done(runs["a"], 0, 50.0)
    sweep.told(50.0)
    sweep.dispatch.done(runs["c"], 9, 60.0)
    helped = [action.task.group for action in sweep.told(60.0) if isinstance(action, Run)]

    assert len(opened) == 3
    assert helped == ["a"]


def test_best_policy_is_never_worse_than_the_plain_one() -> None:
    given = [
        Task(index=n, group=mesh, mesh=mesh, expected_s=seconds)
        for n, (mesh, seconds) in enumerate(
            [("4x4", 5.0)] * 4 + [("1x8", 7.0)] * 6 + [("1x1", 30.0)] + [("1x2", 2.0)] * 9
        )
    ]
    seconds = {task.index: task.expected_s or 0.0 for task in given}
    limits: dict[str, None] = {"workers": None, "memory_bytes": None}
    plain = simulate(Dispatch(GALAXY, MESHES, given, **limits), seconds).makespan_s

    assert simulate(best(GALAXY, MESHES, given, **limits), seconds).makespan_s <= plain


def offered(given: list[Task], *, ahead_s: float = 0.1, machine: Machine = VIRTUAL) -> list[int]:
    """Return what the two slots of a machine are offered beside their first tests."""
    sweep = Sweep(machine, given, workers=2, ahead_s=ahead_s)
    sweep.opens()
    return [action.task.index for action in sweep.told() if isinstance(action, Next)]


def test_slots_with_short_tests_know_the_next_one() -> None:
    assert offered(cells(*[("a", 0.05)] * 6)) == [2, 3]


@pytest.mark.parametrize("seconds", [[0.05] * 4, [5.0] * 2 + [0.05] * 6, [5.0] * 6], ids=["few", "longer", "long"])
def test_nothing_is_offered_where_somebody_would_wait_for_it(seconds: list[float]) -> None:
    """Neither the last tests, nor behind a long one, nor a long one."""
    assert offered(cells(*[("a", one) for one in seconds])) == []


def test_longest_first_holds_for_offers() -> None:
    """Short tests are in flight, but a longer one of their cell comes next: it is not passed over."""
    given = cells(*[("a", 0.05)] * 8)
    sweep = Sweep(VIRTUAL, given, workers=1, ahead_s=0.1)
    sweep.opens()
    sweep.told()
    sweep.dispatch.again(Task(index=8, group="a", mesh="1x1", expected_s=3.0))
    sweep.dispatch.done("virtual.0", 0, begun=1)

    assert [action for action in sweep.told() if isinstance(action, Next)] == []


def test_only_tests_of_the_same_cell_are_offered() -> None:
    sweep = Sweep(VIRTUAL, cells(("a", 0.09), *[("b", 0.01)] * 5), workers=1, ahead_s=0.1)
    sweep.opens()
    (run,) = sweep.told()

    assert isinstance(run, Run)
    assert run.task.group == "a"


def test_tests_of_unknown_length_are_not_offered() -> None:
    known = cells(*[("a", 0.01)] * 2)
    unknown = [Task(index=index, group="a", mesh="1x1", expected_s=None) for index in range(2, 9)]

    assert offered([*known, *unknown]) == []

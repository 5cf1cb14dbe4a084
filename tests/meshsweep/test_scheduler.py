"""A dispatch carried out with workers that only note what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from meshsweep.control.scheduler import SlotScheduling
from meshsweep.dispatch import Dispatch, Task
from meshsweep.errors import InfraError
from meshsweep.machines import Chip, Machine
from meshsweep.planning.slots import Slot
from meshsweep.probe import Spoiled
from meshsweep.results.attempts import Again
from meshsweep.shape import MeshShape
from meshsweep.workers.crew import Worker
from meshsweep.workers.ground import Ground

IDS = ["a1", "a2", "b1", "b2"]
VIRTUAL = Machine(name="virtual", about="", shape=None, runner=())
PAIR = Machine(
    name="pair",
    about="",
    shape=MeshShape(rows=1, cols=2),
    runner=(),
    chips=tuple(Chip(id=chip, row=0, col=chip, board=chip, pcie=chip) for chip in range(2)),
    links=frozenset({(0, 1)}),
)


class Node:
    """A worker that notes what it is sent, and that it was told to shut down or killed; it is its own gateway."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.gateway = self._io = self
        self.got: list[int] = []
        self.offered: int | None = None
        self.is_down = self.is_killed = self.is_forgotten = False

    def shutdown(self) -> None:
        self.is_down = True

    def kill(self) -> None:
        self.is_killed = True

    def poll(self, patience_s: float) -> int | None:
        return None

    def ensure_teardown(self) -> None:
        self.is_down = True


class Crew:
    """Starts such workers."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def start(self, slot: Slot | None, given: dict[str, object]) -> Worker:
        name = f"gw{len(self.workers)}"
        self.workers.append(Worker(node=Node(name), name=name, slot=slot, pid=0))
        return self.workers[-1]

    def run(self, worker: Worker, index: int) -> None:
        worker.node.got.append(index)

    def offer(self, worker: Worker, index: int) -> None:
        assert worker.node.offered is None
        worker.node.offered = index

    def withdraw(self, worker: Worker) -> None:
        worker.node.offered = None

    def forget(self, worker: Worker) -> None:
        worker.node.is_forgotten = True


class Refusing(Ground):
    """A ground whose chips another run has until ``given``."""

    given = False
    is_waiting = True

    def take(self, slot: Slot) -> dict[str, object] | None:
        return {} if self.given else None

    def freed(self) -> tuple[frozenset[int], ...]:
        return (frozenset({0}), frozenset({1})) if self.given else ()


class Broken(Ground):
    """A ground on which every chip is found broken."""

    def examine(self, slot: Slot, done: Any) -> None:
        done(Spoiled(reason="broken"))


class Sweep:
    """A scheduler over four tests of the groups a and b, and what it tells its observer: itself."""

    def __init__(
        self,
        machine: Machine = VIRTUAL,
        ground: Ground | None = None,
        *,
        size: int = 2,
        ahead_s: float = 0.0,
        **more: Any,
    ) -> None:
        self.machine = machine
        self.ahead_s = ahead_s
        self.crew: Any = Crew()
        self.events: list[tuple[str, ...]] = []
        self.decision: Again | None = None
        self.condemned: set[str] = set()
        self.suspected: frozenset[int] = frozenset()
        self.sched = SlotScheduling(
            self.crew, ground or Ground(machine), self, size=size, post=lambda call: call(), clock=lambda: 0.0, **more
        )
        self.sched.act()

    def collected(self, ids: Sequence[str]) -> Dispatch:
        mesh = "" if self.machine is VIRTUAL else "1x1"
        tasks = [Task(index=i, group=name[0], mesh=mesh, expected_s=1.0) for i, name in enumerate(ids)]
        meshes = {"1x1": MeshShape(rows=1, cols=1)}
        return Dispatch(self.machine, meshes, tasks, workers=2, memory_bytes=None, ahead_s=self.ahead_s)

    def suspects(self) -> frozenset[int]:
        return self.suspected

    def examined(self, slot: Slot) -> None:
        self.events.append(("examined", slot.name))

    def judged(self, slot: Slot, spoiled: frozenset[int]) -> None:
        self.events.append(("judged", slot.name, *map(str, sorted(spoiled))))

    def tell(self) -> dict[str, object]:
        return {}

    def started(self, worker: Worker) -> None:
        self.events.append(("started", worker.name, worker.slot.name if worker.slot else ""))

    def ready(self, worker: Worker) -> None:
        pass

    def ended(self, worker: Worker, error: str, how: str = "died") -> None:
        self.events.append(("ended", worker.name, error))

    def offered(self, test: str, worker: Worker) -> None:
        self.events.append(("offered", test, worker.name))

    def sent(self, test: str, worker: Worker) -> None:
        self.events.append(("sent", test, worker.name))

    def ending(self, worker: Worker) -> None:
        self.events.append(("ending", worker.name))

    def is_late(self, worker: Worker) -> bool:
        return worker.name in self.condemned

    def is_condemned(self, worker: Worker) -> bool:
        return worker.name in self.condemned

    def finished(self, test: str, worker: Worker, result: str | float) -> Again | None:
        self.events.append(("finished", test, str(result)))
        return self.decision

    def again(self, test: str) -> Again | None:
        return self.decision

    def given_up(self, test: str, reason: str) -> None:
        self.events.append(("given up", test, reason))

    def worker(self, number: int) -> Any:
        """Return a worker's node."""
        return self.crew.workers[number].node

    def collect(self, *numbers: int, ids: Sequence[str] = IDS) -> None:
        """Have workers tell what they have collected."""
        for number in numbers:
            self.sched.add_node_collection(self.worker(number), ids)
        self.sched.act()

    def finish(self, number: int) -> None:
        """Have a worker report that its test has passed."""
        node = self.worker(number)
        self.sched.passed(f"gw{number}", node.got[-1], "passed", begun=None)
        self.sched.act()

    def go_on(self, number: int) -> None:
        """Have a worker report that its test has passed, and that it has begun the one that it was offered."""
        node = self.worker(number)
        ended, begun, node.offered = node.got[-1], node.offered, None
        node.got.append(begun)
        self.sched.passed(f"gw{number}", ended, "passed", begun=begun)
        self.sched.act()

    def fail(self, number: int) -> None:
        """Have a worker report that its test has failed."""
        node = self.worker(number)
        self.sched.mark_test_complete(node, node.got[-1])
        self.sched.act()

    def die(self, number: int) -> str | None:
        """Kill a worker."""
        test = self.sched.lost(self.worker(number), "gone")
        self.sched.recover(self.worker(number))
        self.sched.act()
        return test


def test_slots_of_a_virtual_machine_start_at_once() -> None:
    sweep = Sweep()

    assert sweep.events == [("started", "gw0", "virtual.0"), ("started", "gw1", "virtual.1")]


def test_worker_gets_one_test_at_once() -> None:
    sweep = Sweep()
    sweep.collect(0, 1)

    assert [len(sweep.worker(number).got) for number in (0, 1)] == [1, 1]
    assert {IDS[sweep.worker(number).got[0]][0] for number in (0, 1)} == {"a", "b"}


def test_next_test_follows_the_report() -> None:
    sweep = Sweep(size=1)
    sweep.collect(0)
    for done in range(4):
        assert len(sweep.worker(0).got) == done + 1
        sweep.finish(0)

    assert sorted(sweep.worker(0).got) == [0, 1, 2, 3]
    assert sweep.sched.tests_finished


def test_fewer_tests_than_workers_end_the_others() -> None:
    sweep = Sweep()
    sweep.collect(0, 1, ids=["a1"])

    assert sum(len(sweep.worker(number).got) for number in (0, 1)) == 1
    assert sum(sweep.worker(number).is_down for number in (0, 1)) == 1


def test_workers_must_collect_the_same() -> None:
    sweep = Sweep()
    sweep.sched.add_node_collection(sweep.worker(0), IDS)
    with pytest.raises(InfraError, match="Different tests were collected between the first worker and gw1"):
        sweep.sched.add_node_collection(sweep.worker(1), [*IDS, "c1"])


def test_death_names_the_test_and_opens_another_slot() -> None:
    sweep = Sweep()
    sweep.collect(0, 1)
    test = sweep.die(0)
    sweep.collect(2)

    assert test == IDS[sweep.worker(0).got[0]]
    assert sweep.worker(0).is_killed
    assert sweep.events[-2][:2] == ("started", "gw2")
    assert sweep.worker(2).got
    assert sweep.worker(2).got != sweep.worker(0).got


def test_crashed_test_runs_again_where_that_is_decided() -> None:
    sweep = Sweep(size=1)
    sweep.decision = Again(outcome="crashed")
    sweep.collect(0)
    test = sweep.die(0)
    sweep.decision = None
    sweep.collect(1)
    for _ in IDS:
        sweep.finish(1)

    assert [event[1] for event in sweep.events if event[0] == "sent"].count(test or "") == 2
    assert sweep.sched.tests_finished


def test_workers_that_die_before_any_test_end_the_run() -> None:
    sweep = Sweep(size=1)
    for number in range(3):
        assert sweep.sched.gives_up() is None
        sweep.die(number)

    assert sweep.sched.gives_up() == "3 workers in a row died before they had run any test"


@pytest.mark.parametrize("number", [0, 1])
def test_deaths_are_bounded_where_the_user_says(number: int) -> None:
    sweep = Sweep(max_deaths=number)
    sweep.collect(0, 1)
    for dead in range(number + 1):
        assert sweep.sched.gives_up() is None
        sweep.die(dead)

    assert sweep.sched.gives_up() == f"maximum crashed workers reached: {number}"


# Machines with chips: what is to run decides on slots, so somebody must collect first.


def test_first_worker_of_a_machine_only_collects() -> None:
    sweep = Sweep(PAIR)
    sweep.collect(0)

    assert sweep.worker(0).is_down
    assert [event for event in sweep.events if event[0] == "started"] == [
        ("started", "gw0", ""),
        ("started", "gw1", "pair.0"),
        ("started", "gw2", "pair.1"),
    ]


def test_refused_chips_are_taken_when_they_are_free() -> None:
    ground = Refusing(PAIR)
    sweep = Sweep(PAIR, ground)
    sweep.collect(0)
    assert len(sweep.crew.workers) == 1

    ground.given = True
    sweep.sched.act()
    assert len(sweep.crew.workers) == 3


def test_tests_that_no_chips_can_hold_are_given_up() -> None:
    sweep = Sweep(PAIR, Broken(PAIR))
    sweep.collect(0)
    sweep.collect(1, 2)
    sweep.die(1)
    sweep.die(2)

    assert {event[1] for event in sweep.events if event[0] == "given up"} == {"a2", "b2"}
    assert sweep.sched.tests_finished


def test_closed_slot_leaves_room_for_the_next() -> None:
    sweep = Sweep(PAIR)
    sweep.collect(0)
    sweep.collect(1, 2)
    for number in (1, 2, 1, 2):
        sweep.finish(number)

    assert sweep.sched.tests_finished
    assert all(sweep.worker(number).is_down for number in (1, 2))


def test_slot_that_opens_no_mesh_is_looked_at() -> None:
    """Its worker is ended before it gets another test; that is no death that the run is given up for."""
    sweep = Sweep(PAIR, Broken(PAIR), max_deaths=0)
    sweep.collect(0)
    sweep.collect(1, 2)
    sweep.condemned = {"gw1"}
    sweep.finish(1)
    killed, got = sweep.worker(1).is_killed, list(sweep.worker(1).got)
    sweep.die(1)
    sweep.finish(2)

    assert (killed, len(got)) == (True, 1)
    assert ("ended", "gw1", "") in sweep.events
    assert sweep.sched.gives_up() is None
    assert sweep.worker(1).got == got
    assert len(sweep.worker(2).got) == 2


def test_condemned_worker_of_a_virtual_machine_gets_no_test() -> None:
    """As one that was killed at its deadline just after its test had ended."""
    sweep = Sweep()
    sweep.collect(0, 1)
    sweep.condemned = {"gw0"}
    sweep.finish(0)
    got = list(sweep.worker(0).got)
    sweep.die(0)

    assert sweep.worker(0).is_killed
    assert sweep.worker(0).got == got
    assert ("ended", "gw0", "") in sweep.events


MANY = tuple(f"a{number}" for number in range(6))


def offering(**more: Any) -> Sweep:
    """Return a sweep of six tests of one cell, two of which are in flight and two offered."""
    sweep = Sweep(ahead_s=2.0, **more)
    sweep.collect(0, 1, ids=MANY)
    assert [sweep.worker(number).offered for number in range(2)] == [2, 3]
    sweep.events.clear()
    return sweep


def test_offered_test_is_in_flight_once_it_has_been_begun() -> None:
    sweep = offering()
    sweep.go_on(0)

    assert sweep.events[:2] == [("finished", "a0", "passed"), ("sent", "a2", "gw0")]
    assert sweep.worker(0).got == [0, 2]


def test_offer_that_was_not_taken_is_withdrawn_and_sent() -> None:
    """The worker had ended its test before it was offered the next one, and waits."""
    sweep = offering()
    sweep.finish(0)

    assert (sweep.worker(0).got, sweep.worker(0).offered) == ([0, 2], None)
    assert ("sent", "a2", "gw0") in sweep.events


def test_failed_test_is_followed_by_nothing_unasked() -> None:
    sweep = offering()
    sweep.decision = Again(outcome="failed")
    sweep.fail(0)

    # A second offer beside one that still stands would not have been borne.
    assert [event for event, *_ in sweep.events] == ["finished", "sent", "offered"]
    assert len(sweep.worker(0).got) == 2


def test_offered_test_of_a_dead_worker_runs_elsewhere() -> None:
    sweep = offering()
    died_in = sweep.die(0)
    sweep.finish(1)
    while sweep.sched.has_pending:
        sweep.finish(1)

    assert died_in == "a0"
    assert sorted(test for event, test, *_ in sweep.events if event == "finished") == ["a1", "a2", "a3", "a4", "a5"]


def late() -> Sweep:
    """Return a sweep whose first worker is being killed for a0, though that has just passed, and has begun a2."""
    sweep = offering()
    sweep.condemned = {"gw0"}
    sweep.go_on(0)
    assert sweep.worker(0).is_killed
    assert sweep.worker(0).offered is None
    return sweep


def finished(sweep: Sweep) -> list[str]:
    """Return the tests that end, in order, when the second worker does what is left."""
    while sweep.sched.has_pending:
        sweep.finish(1)
    return sorted(test for event, test, *_ in sweep.events if event == "finished")


def test_begun_test_of_a_worker_that_is_being_killed_runs_elsewhere() -> None:
    """The deadline of the test before it had passed: that it dies in this one is not held against it."""
    sweep = late()
    died_in = sweep.die(0)

    assert died_in is None
    assert finished(sweep) == list(MANY)


def test_what_a_killed_worker_had_sent_counts() -> None:
    """It was quicker than the signal: the test that it had begun is over, and runs nowhere else."""
    sweep = late()
    sweep.sched.passed("gw0", 2, "passed", begun=None)
    sweep.sched.act()
    sweep.die(0)
    sweep.sched.passed("gw0", 2, "passed", begun=None)

    assert finished(sweep) == list(MANY)


def test_worker_that_has_ended_is_forgotten() -> None:
    sweep = Sweep()
    sweep.collect(0, 1)
    sweep.die(0)
    sweep.sched.remove_node(sweep.worker(1))

    assert [sweep.worker(number).is_forgotten for number in range(2)] == [True, True]


def test_ends_are_watched_from_the_last_test_on() -> None:
    sweep = Sweep()
    sweep.collect(0, 1)
    sweep.events.clear()
    sweep.sched.ending()
    before = list(sweep.events)
    sweep.sched.passed("gw0", sweep.worker(0).got[-1], "passed", begun=None)

    assert (before, sweep.events[-1]) == ([], ("ending", "gw0"))


@pytest.mark.parametrize("has_run", [True, False])
def test_death_after_a_test_is_no_broken_start(*, has_run: bool) -> None:
    """Devices that crash when they are closed cost a worker each, and end no run."""
    sweep = Sweep(size=1)
    for number in range(3):
        if has_run:
            sweep.collect(number)
            sweep.sched.passed(f"gw{number}", sweep.worker(number).got[-1], "passed", begun=None)
        sweep.die(number)

    assert (sweep.sched.gives_up() is None) == has_run


@pytest.mark.parametrize(("ground", "ran"), [(Ground, IDS), (Broken, [])])
def test_suspect_chips_are_looked_at_before_they_are_used(ground: type[Ground], ran: list[str]) -> None:
    """The run before was killed after a worker had died on them, or had given them up."""
    sweep = Sweep(PAIR, ground(PAIR))
    sweep.suspected = frozenset({0, 1})
    sweep.collect(0)
    first = [event for event, *_ in sweep.events if event in ("examined", "started", "judged")]
    number = 1
    while sweep.sched.has_pending and number < len(sweep.crew.workers):
        sweep.collect(number)
        while sweep.sched._flying.get(sweep.worker(number)):
            sweep.finish(number)
        number += 1

    assert first[:3] == ["started", "examined", "judged"]
    assert sorted(test for event, test, *_ in sweep.events if event == "finished") == ran

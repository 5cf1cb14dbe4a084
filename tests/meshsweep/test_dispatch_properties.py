"""Any machine, any tests, any mishaps: chips and memory are never doubled, every test ends once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshsweep.dispatch import Close, Dispatch, Next, Open, Policy, Run, Task, best
from meshsweep.machines import Chip, Machine
from meshsweep.machines.placement import joined
from meshsweep.shape import MeshShape

SHAPES = ("1x1", "1x2", "1x4", "1x8", "2x2", "2x4", "4x4", "4x8", "3x3")
MESHES = {name: MeshShape.parse(name) for name in SHAPES}


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Draw a machine: any grid up to 4x8, chips in pairs behind one PCIe chip or not, links missing, or virtual."""
    if draw(st.integers(0, 5)) == 0:
        return Machine(name="virtual", about="", shape=None, runner=())
    shape = MeshShape(rows=draw(st.integers(1, 4)), cols=draw(st.integers(1, 8)))
    ids = tuple(draw(st.permutations(range(shape.devices))))
    paired = draw(st.booleans())
    chips = tuple(
        Chip(
            id=chip,
            row=at // shape.cols,
            col=at % shape.cols,
            board=at // 2 if paired else at,
            pcie=None if paired and at % 2 else at,
        )
        for at, chip in enumerate(ids)
    )
    links = sorted(joined(shape, ids))
    broken = draw(st.sets(st.sampled_from(links), max_size=2)) if links else set()
    rings = tuple(ring for ring in (MESHES["1x4"], MESHES["1x8"]) if draw(st.booleans()))
    return Machine(
        name="host", about="", shape=shape, runner=(), chips=chips, links=frozenset(links) - broken, rings=rings
    )


@st.composite
def suites(draw: st.DrawFn) -> list[Task]:
    """Draw tests of several meshes and cells, or of few, with and without a history or a claim on memory."""
    count = draw(st.integers(0, 25))
    shapes = draw(st.sampled_from([("", *SHAPES), ("", "1x1")]))
    most_bytes = draw(st.sampled_from([0, 12]))
    return [
        Task(
            index=index,
            group=draw(st.sampled_from("abc" if most_bytes else "a")) + mesh,
            mesh=mesh,
            expected_s=draw(st.none() | st.floats(0, 50)),
            memory_bytes=draw(st.integers(0, most_bytes)),
        )
        for index, mesh in enumerate(draw(st.lists(st.sampled_from(shapes), min_size=count, max_size=count)))
    ]


class Host:
    """Carries out a dispatch while slots are refused, lost and spoiled, and holds it to the rules."""

    def __init__(self, machine: Machine, dispatch: Dispatch, budget: int | None, workers: int | None) -> None:
        self.machine, self.dispatch = machine, dispatch
        self.budget, self.workers = budget, workers
        self.slots: dict[str, Any] = {}
        self.state: dict[str, str] = {}
        self.flying: dict[str, Task] = {}
        self.offered: dict[str, Task] = {}
        self.claims: dict[str, int] = {}
        self.away: list[frozenset[int]] = []
        self.spoiled: set[int] = set()
        self.ran: Counter[int] = Counter()
        self.given_up: Counter[int] = Counter()

    def leased(self, name: str) -> frozenset[int]:
        return self.machine.leased_with(self.slots[name].chips)

    def act(self, now_s: float) -> None:
        """Carry out what the dispatch says, checking every step."""
        for action in self.dispatch.actions(now_s):
            if isinstance(action, Open):
                taken = {chip for name in self.state for chip in self.leased(name)}.union(self.spoiled, *self.away)
                self.slots[action.slot.name] = action.slot
                assert not taken & self.leased(action.slot.name)
                assert self.workers is None or len(self.state) < self.workers
                self.state[action.slot.name] = "opening"
            elif isinstance(action, Run):
                slot = self.slots[action.slot]
                assert self.state[action.slot] == "open"
                assert slot.mesh in (None, action.task.mesh) or not action.task.mesh
                assert action.slot not in self.flying
                self.flying[action.slot] = action.task
                self.claims[action.slot] = action.task.memory_bytes
                assert self.budget is None or sum(self.claims.values()) <= self.budget
            elif isinstance(action, Next):
                flying = self.flying[action.slot]
                assert (flying.group, flying.memory_bytes) == (action.task.group, action.task.memory_bytes)
                assert action.slot not in self.offered
                self.offered[action.slot] = action.task
            elif isinstance(action, Close):
                assert self.state[action.slot] == "open"
                assert action.slot not in self.flying
                self.state[action.slot] = "closing"
        for task, reason in self.dispatch.impossible():
            assert reason
            self.given_up[task.index] += 1

    def leave(self, name: str) -> None:
        del self.state[name]
        self.claims.pop(name, None)

    def lose(self, name: str) -> None:
        """Let a worker die; its test is put back, its chips wait for a probe."""
        task = self.flying.pop(name, None)
        self.offered.pop(name, None)
        self.leave(name)
        self.dispatch.lost(name)
        self.away.append(self.leased(name))
        if task is not None:
            self.dispatch.again(task, avoid=self.leased(name))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(machines(), suites(), st.data())
def test_chips_memory_and_tests_are_never_doubled(machine: Machine, tasks: list[Task], data: st.DataObject) -> None:
    workers = data.draw(st.none() | st.integers(1, 6), label="workers")
    budget = data.draw(st.none() | st.integers(0, 20), label="budget")
    policy = Policy(
        order=data.draw(st.sampled_from(["large", "tail", "long"])),
        long_s=data.draw(st.none() | st.floats(0, 50)),
        horizon_s=data.draw(st.none() | st.floats(0, 200)),
    )
    ahead_s = data.draw(st.sampled_from([0.0, 10.0, 100.0]), label="ahead_s")
    dispatch = Dispatch(
        machine, MESHES, tasks, workers=workers, memory_bytes=budget, open_s=1.0, ahead_s=ahead_s, policy=policy
    )
    host = Host(machine, dispatch, budget, workers)
    now_s = 0.0
    mishaps = data.draw(st.integers(0, 12), label="mishaps")
    for _ in range(400):
        host.act(now_s)
        if not host.state and not host.away:
            break
        steps = [(name, state) for name, state in sorted(host.state.items()) if state != "open" or name in host.flying]
        assert steps or host.away, "nothing is in flight, and nothing is waited for"
        now_s += data.draw(st.floats(0, 20)) if mishaps else 1.0
        if host.away and (not steps or (mishaps and data.draw(st.booleans()))):
            chips = host.away.pop(0)
            broken = data.draw(st.sets(st.sampled_from(sorted(chips)))) if mishaps and chips else set()
            host.spoiled |= broken
            dispatch.spoiled(frozenset(broken))
            dispatch.available(chips - broken)
            continue
        name, state = data.draw(st.sampled_from(steps)) if mishaps else steps[0]
        fails = mishaps > 0 and data.draw(st.booleans())
        mishaps -= fails
        if fails and state != "opening":
            host.lose(name)
        elif fails:
            host.leave(name)
            dispatch.refused(name)
            host.away.append(host.leased(name))
        elif state == "opening":
            host.state[name] = "open"
            dispatch.opened(name)
        elif state == "closing":
            host.leave(name)
            dispatch.closed(name)
        else:
            task = host.flying.pop(name)
            host.ran[task.index] += 1
            offered = host.offered.pop(name, None)
            begun = offered if offered is not None and data.draw(st.booleans()) else None
            dispatch.done(name, task.index, 1.0, begun=None if begun is None else begun.index)
            if begun is not None:
                host.flying[name] = begun
                host.claims[name] = begun.memory_bytes

    assert not host.state
    assert dispatch.is_finished
    assert host.ran + host.given_up == Counter(task.index for task in tasks)


@settings(max_examples=40, deadline=None)
@given(machines(), suites(), st.none() | st.integers(1, 6), st.none() | st.integers(0, 20))
def test_planning_loses_no_test(machine: Machine, tasks: list[Task], workers: int | None, budget: int | None) -> None:
    dispatch = best(machine, MESHES, tasks, workers=workers, memory_bytes=budget, open_s=1.0)
    host = Host(machine, dispatch, budget, workers)
    for _ in range(1000):
        host.act(0.0)
        if not host.state:
            break
        for name, state in list(host.state.items()):
            if state == "opening":
                host.state[name] = "open"
                dispatch.opened(name)
            elif state == "closing":
                host.leave(name)
                dispatch.closed(name)
            elif name in host.flying:
                task = host.flying.pop(name)
                host.ran[task.index] += 1
                dispatch.done(name, task.index)

    assert dispatch.is_finished
    assert host.ran + host.given_up == Counter(task.index for task in tasks)

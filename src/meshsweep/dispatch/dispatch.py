"""The state machine: told of what happened to slots, chips and tests, it answers with actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from meshsweep.dispatch.action import Action, Close, Next, Open, Run, Task
from meshsweep.dispatch.block import Block, Waiting
from meshsweep.dispatch.demand import Demand
from meshsweep.dispatch.floorplan import Floorplan
from meshsweep.dispatch.policy import Policy
from meshsweep.dispatch.promise import Promise
from meshsweep.dispatch.queue import Queue
from meshsweep.dispatch.state import Held, State
from meshsweep.machines import Machine
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape

__all__ = ["Dispatch"]


class Dispatch:
    """Says which slots to open, which tests to run in them and which to close.

    ``workers`` bounds the slots that are open at the same time, ``memory_bytes`` what the
    cells of their workers may claim together, ``open_s`` is what opening a slot takes. A slot is offered its
    next test ahead while both that and the one in flight are known to take at most ``ahead_s``.
    """

    def __init__(
        self,
        machine: Machine,
        meshes: Mapping[str, MeshShape],
        tasks: Sequence[Task],
        *,
        workers: int | None,
        memory_bytes: int | None,
        open_s: float = 0.0,
        ahead_s: float = 0.0,
        policy: Policy | None = None,
        floorplan: Floorplan | None = None,
    ) -> None:
        self._machine = machine
        self._floor = floorplan or Floorplan(machine, meshes)
        self._open_s = open_s
        self._ahead_s = ahead_s
        self._memory_bytes = memory_bytes
        self._state = State(self._floor.all, workers=workers, memory_bytes=memory_bytes)
        self._queue = Queue(self._floor, tasks, policy or Policy())
        self._demand = Demand(
            self._state, self._queue, policy or Policy(), open_s=open_s, chips=self._floor.all.bit_count()
        )
        self._promise = Promise(self._state, self._queue, self._floor)
        self._now_s = 0.0
        self._slots = 0
        self._is_stirred = True
        self._look_s = 0.0
        self._impossible: list[tuple[Task, str]] = []
        self._drop_impossible()

    # What happened.

    def opened(self, slot: str) -> None:
        """Note that a slot's worker is ready for tests."""
        self._state.ready(slot, self._now_s)

    def refused(self, slot: str) -> None:
        """Note that a slot's chips could not be leased: they are away until ``available``."""
        self._leave(slot, is_away=True)

    def done(self, slot: str, index: int, seconds: float | None = None, *, begun: int | None = None) -> Task | None:
        """Note that a slot's test has ended, whatever its outcome; ``seconds`` correct what is expected of others.

        ``begun`` is the test that was offered, where the slot has begun it; its task is returned.
        """
        held = self._state.held[slot]
        waiting, offered = held.waiting, held.next
        assert waiting is not None, f"{slot} has no test in flight"
        assert waiting.task.index == index, f"{slot} does not run test {index}"
        if seconds is not None and waiting.task.expected_s is None:
            self._queue.learn(waiting.task, seconds)
        self._state.ready(slot, self._now_s)
        if begun is None:
            self._take_back(held)
            return None
        assert offered is not None, f"{slot} was not offered test {begun}"
        assert offered.task.index == begun, f"{slot} was not offered test {begun}"
        held.next = None
        self._state.run(held, offered, self._now_s)
        return offered.task

    def lost(self, slot: str) -> None:
        """Note that a slot's worker has died: its test is out of flight, its chips are away until a probe."""
        self._leave(slot, is_away=True)

    def closed(self, slot: str) -> None:
        """Note that a slot's worker has ended as asked: its chips are free."""
        self._leave(slot, is_away=False)

    def available(self, chips: frozenset[int]) -> None:
        """Note that chips which were refused or lost can be leased again."""
        self._state.available(self._floor.mask(chips))
        self._is_stirred = True

    def spoiled(self, chips: frozenset[int]) -> None:
        """Note that chips are out of order: nothing is opened on them again."""
        self._state.spoil(self._floor.mask(chips))
        self._promise.drop()
        self._drop_impossible()

    def again(self, task: Task, *, avoid: frozenset[int] = frozenset()) -> None:
        """Put a test back; it runs on other chips than ``avoid`` where any others can hold it."""
        self._queue.add(task, self._floor.mask(avoid))
        self._drop_impossible()

    # What to do.

    def actions(self, now_s: float | None = None) -> list[Action]:
        """Return what is to be done now, each thing once, in order; ``now_s`` is the time since the run began."""
        if now_s is not None:
            self._now_s = now_s
        found: list[Action] = []
        if self._is_stirred or self._now_s > self._look_s:
            self._is_stirred = False
            self._look_s = self._now_s + self._demand.pause_s(self._now_s)
            # First what each mesh needs to be done in time, then what is left goes to whoever gains by it.
            self._share(found, is_needed=True)
            if self._state.free or not self._floor.all:
                self._share(found, is_needed=False)
        else:
            for block in list(self._queue.blocks):
                self._fill(found, block)
        for slot in self._state.held if self._ahead_s else ():
            offer = self.offer(slot)
            if offer is not None:
                found.append(offer)
        self._end_idle(found)
        return found

    def offer(self, slot: str) -> Next | None:
        """Return the test to offer a slot, which works off short ones of a cell, while there are enough for all."""
        held = self._state.held[slot]
        if held.next or held.is_closing or not held.waiting or not self._is_short(held.waiting):
            return None
        for block in self._queue.blocks:
            test = self._short(block, held)
            if test is not None:
                held.next = test
                self._queue.remove(block, test)
                return Next(slot=slot, task=test.task)
        return None

    def impossible(self) -> list[tuple[Task, str]]:
        """Return the tests that no healthy chips can hold, with the reason; each is returned once."""
        found, self._impossible = self._impossible, []
        return found

    @property
    def is_finished(self) -> bool:
        """Whether no test waits or is in flight."""
        return not self._queue.blocks and not any(held.waiting for held in self._state.held.values())

    # Slots and tests.

    def _share(self, found: list[Action], *, is_needed: bool) -> None:
        ahead: dict[str, tuple[int, float]] = {}
        for block in list(self._queue.blocks):
            self._fill(found, block)
            count, load_s = ahead.get(block.mesh, (0, 0.0))
            while block.count and self._demand.wants(block, count, load_s, now_s=self._now_s, is_needed=is_needed):
                if not self._open(found, block):
                    if is_needed:
                        self._promise.make(block)
                    break
            ahead[block.mesh] = count + block.count, load_s + block.load_s

    def _fill(self, found: list[Action], block: Block) -> None:
        """Give idle slots of a block's mesh their next test."""
        state = self._state
        for held in list(state.idle.values()):
            if not block.count or not self._may_run(block, held):
                continue
            window_s = self._promise.window_s(block, held, self._now_s)
            room_bytes = state.room_bytes(held)
            test = block.choose(held.group, state.groups, window_s=window_s, room_bytes=room_bytes)
            if test is not None:
                self._queue.remove(block, test)
                state.run(held, test, self._now_s)
                found.append(Run(slot=held.slot.name, task=test.task))

    def _short(self, block: Block, held: Held) -> Waiting | None:
        """Return the test that a block has next for a slot, if it is short and of the slot's cell."""
        if block.count <= len(self._state.held) or not self._may_run(block, held):
            return None
        window_s = self._promise.window_s(block, held, self._now_s) - self._ahead_s
        test = block.choose(held.group, self._state.groups, window_s=window_s, room_bytes=held.claim_bytes)
        if test is None or not self._is_short(test):
            return None
        is_like = test.task.group == held.group and test.task.memory_bytes == held.claim_bytes
        return test if is_like else None

    def _is_short(self, test: Waiting) -> bool:
        # What is only guessed from others may be anything.
        return test.task.expected_s is not None and test.task.expected_s <= self._ahead_s

    def _take_back(self, held: Held) -> None:
        """Put back what a slot was offered and has not begun."""
        offered, held.next = held.next, None
        if offered is not None:
            self._queue.restore(offered)

    def _open(self, found: list[Action], block: Block) -> bool:
        """Open a slot for a block, or return False where chips, workers or memory are wanting."""
        state = self._state
        if not state.has_worker:
            return False
        test = block.choose(None, state.groups, window_s=inf, room_bytes=state.room_bytes())
        if test is None:
            return False
        place = self._place(block)
        if place is None:
            return False
        mask, chips, mesh = place
        slot = Slot(name=f"{self._machine.name}.{self._slots}", machine=self._machine.name, mesh=mesh, chips=chips)
        self._slots += 1
        state.enter(Held(slot, mesh or "", mask, test.task, self._now_s + self._open_s))
        self._promise.keep(block)
        found.append(Open(slot=slot))
        return True

    def _place(self, block: Block) -> tuple[int, tuple[int, ...], str | None] | None:
        """Return bits, chips and mesh of a place for a block; a virtual machine has one everywhere."""
        if not self._floor.all:
            return 0, (), None
        free = self._state.free & ~self._promise.keeps_from(block) & ~self._avoided(block)
        place = self._floor.find(block.mesh, free)
        return place and (*place, block.mesh or self._floor.mesh_of(place[1]))

    def _end_idle(self, found: list[Action]) -> None:
        """Close slots that have nothing to run, or stand on what others wait for."""
        for held in list(self._state.idle.values()):
            useful = any(self._may_run(block, held) for block in self._queue.blocks)
            if not useful or held.claim_bytes or self._promise.claims(held):
                self._state.close(held)
                found.append(Close(slot=held.slot.name))

    def _leave(self, slot: str, *, is_away: bool) -> None:
        self._take_back(self._state.held[slot])
        self._state.leave(slot, is_away=is_away)
        self._is_stirred = True

    def _may_run(self, block: Block, held: Held) -> bool:
        if block.mesh and block.mesh != held.mesh:
            return False
        return not block.avoid or not held.mask & self._avoided(block)

    def _avoided(self, block: Block) -> int:
        """Return the chips that a block keeps off, none where no others can hold it."""
        if not block.avoid or not self._floor.holds(block.mesh, self._state.usable & ~block.avoid):
            return 0
        return block.avoid

    def _drop_impossible(self) -> None:
        self._is_stirred = True
        for block in list(self._queue.blocks):
            for test in list(block):
                reason = self._reason(test.task)
                if reason:
                    self._queue.remove(block, test)
                    self._impossible.append((test.task, reason))

    def _reason(self, task: Task) -> str | None:
        if self._memory_bytes is not None and task.memory_bytes > self._memory_bytes:
            need, have = task.memory_bytes / 1e9, self._memory_bytes / 1e9
            return f"needs {need:.1f} GB of host memory, more than the budget of {have:.1f} GB"
        if not self._floor.all or self._floor.holds(task.mesh, self._state.usable):
            return None
        name = f"mesh {task.mesh}" if task.mesh else "a test without a mesh"
        if self._floor.holds(task.mesh, self._floor.all):
            return f"no healthy chips are left on {self._machine.name} for {name}"
        return f"{name} does not fit machine {self._machine.name} (system mesh {self._machine.shape})"

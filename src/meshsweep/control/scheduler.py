"""Carry out a dispatch with xdist's workers: a slot is opened by starting one, one test is in flight in each.

xdist 3.8 sends batches, and its scope modes hang or repeat tests when a worker dies.
Here a worker is sent its next test when it has reported the last one, or has been offered it where tests are short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from xdist.report import report_collection_diff

from meshsweep.control.observer import Observer
from meshsweep.dispatch import Action, Dispatch, Next, Open, Run, Task
from meshsweep.errors import InfraError
from meshsweep.planning.slots import Slot
from meshsweep.probe import Healthy, Spoiled
from meshsweep.workers.crew import Crew, Worker
from meshsweep.workers.ground import Ground

__all__ = ["SlotScheduling"]

#: So many workers may die one after another without any test in between, before the run is given up.
_FRUITLESS = 3


class SlotScheduling:
    """xdist's scheduler protocol over a Dispatch, and what ``workers.session.Session`` asks beyond it.

    Until the first worker has collected there is nothing to dispatch: on a virtual machine the first slots are
    known even so; on any other one the first worker holds no slot and only collects.
    """

    def __init__(
        self,
        crew: Crew,
        ground: Ground,
        observer: Observer,
        *,
        size: int,
        post: Callable[[Callable[[], None]], None],
        max_deaths: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew = crew
        self._ground = ground
        self._observer = observer
        self._size = size
        self._post = post
        self._max_deaths = max_deaths
        self._clock = clock
        self._began = clock()
        self._dispatch: Dispatch | None = None
        self._ids: list[str] = []
        self._workers: dict[Any, Worker] = {}
        self._named: dict[str, Any] = {}
        self._ready: set[Any] = set()
        self._open: dict[str, Worker] = {}
        self._early: dict[str, Worker] = {}
        self._flying: dict[Any, Task] = {}
        self._sent: dict[Any, float] = {}
        self._undone: dict[Any, Task | None] = {}
        self._fallen: dict[Any, Slot] = {}
        #: Workers that have ended a test, and those that were told to end: their death is no sign of a broken start.
        self._proven: set[Any] = set()
        self._ending: set[Any] = set()
        self._suspects: frozenset[int] = frozenset()
        self._examined = 0
        self._repeated: int | None = None
        self._deaths = 0
        self._fruitless = 0

    # What xdist asks.

    @property
    def nodes(self) -> list[Any]:
        """The workers that are alive."""
        return list(self._workers)

    @property
    def collection_is_completed(self) -> bool:
        """Whether tests can be sent: from the first worker's collection on."""
        return self._dispatch is not None

    @property
    def tests_finished(self) -> bool:
        """Whether every test has ended."""
        return self._dispatch is not None and self._dispatch.is_finished

    @property
    def has_pending(self) -> bool:
        """Whether a test waits or is in flight."""
        return self._dispatch is not None and not self._dispatch.is_finished

    def add_node(self, node: Any) -> None:
        """Xdist tells of a worker whose session has begun; it is known here since its process was started."""

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take in what a worker has collected; all must have collected the same.

        Raises InfraError with the difference where they did not.
        """
        if self._dispatch is None:
            self._ids = list(collection)
            self._dispatch = self._observer.collected(self._ids)
            self._suspects = self._observer.suspects()
        elif list(collection) != self._ids:
            difference = report_collection_diff(self._ids, collection, "the first worker", node.gateway.id)
            raise InfraError(difference or "workers collected different tests")
        self._ready.add(node)
        self._observer.ready(self._workers[node])
        self._announce(self._workers[node])

    def schedule(self) -> None:
        """Xdist says that tests may be sent: ``act`` does that."""

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Take in the end of a test that did not simply pass."""
        self._complete(node, item_index, duration, begun=None)

    def passed(self, name: str, index: int, result: str, *, begun: int | None) -> None:
        """Take in a test that has passed, in the words of the worker of that name, and which it has ``begun``."""
        node = self._named[name]
        # Of a worker that has been taken for dead nothing counts any more: its test has been charged, or runs again.
        if node in self._workers:
            self._complete(node, index, result, begun=begun)

    def remove_node(self, node: Any) -> str | None:
        """Forget a worker that has ended in order; returns the test that it left undone, if any."""
        worker = self._forget(node)
        self._observer.ended(worker, "")
        worker.dismiss()
        if worker.slot is not None:
            self._ground.leave(worker.slot)
            if self._open.pop(worker.slot.name, None) is not None and self._dispatch is not None:
                self._dispatch.closed(worker.slot.name)
        task = self._flying.pop(node, None)
        return self._ids[task.index] if task is not None else None

    def mark_test_pending(self, item: str) -> None:
        """Xdist asks for this to run a test again; that is decided elsewhere."""
        raise NotImplementedError(f"{item}: rerunning a test is not offered")

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Xdist asks for this after stealing; nothing waits at a worker here."""
        raise NotImplementedError("nothing waits at a worker: there is nothing to steal")

    # What the session asks.

    def is_flying(self, node: Any, test: str) -> bool:
        """Return whether a test is in flight in a worker."""
        task = self._flying.get(node)
        return task is not None and self._ids[task.index] == test

    def repeats(self, index: int) -> bool:
        """Return whether the test that has just ended runs again."""
        return self._repeated == index

    def act(self) -> None:
        """Do what is due: start workers, send tests, end workers."""
        if self._dispatch is None:
            if not self._workers:
                self._begin()
            return
        for chips in self._ground.freed():
            self._dispatch.available(chips)
        for chips, others in self._ground.forfeited():
            self._dispatch.spoiled(chips)
            self._dispatch.available(others)
        # A slot whose worker has been waiting for it is ready at once.
        while sum(map(self._do, self._dispatch.actions(self._clock() - self._began))):
            pass
        for task, reason in self._dispatch.impossible():
            self._observer.given_up(self._ids[task.index], reason)
        # There are fewer tests than workers.
        for worker in self._early.values():
            self._end(worker)
        self._early = {}

    def ending(self) -> None:
        """Take in that every worker was told to end: nothing follows what is in flight."""
        for worker in list(self._workers.values()):
            self._crew.withdraw(worker)
            self._watch_end(worker)

    def lost(self, node: Any, error: object) -> str | None:
        """Take in a worker that died; returns the test that it died in, if any. ``recover`` must follow."""
        worker = self._forget(node)
        end = worker.end()
        # It may only have gone silent: what it holds must be free before anybody looks at it.
        worker.kill()
        task = self._flying.pop(node, None)
        is_fallen = node in self._fallen
        if is_fallen:
            self._observer.ended(worker, "")
        else:
            self._deaths += 1
            is_start = task is None and not {node} & (self._proven | self._ending)
            self._fruitless = self._fruitless + 1 if is_start else 0
            self._observer.ended(worker, str(error), end)
        if worker.slot is not None and self._open.pop(worker.slot.name, None) is not None:
            assert self._dispatch is not None
            self._dispatch.lost(worker.slot.name)
            self._fallen[node] = worker.slot
        if task is not None and (is_fallen or self._observer.is_late(worker)):
            # The worker has died of what the test before it had done: that is no attempt at this one.
            assert self._dispatch is not None
            self._dispatch.again(task)
            task = None
        self._undone[node] = task
        return self._ids[task.index] if task is not None else None

    def recover(self, node: Any) -> None:
        """Decide what becomes of a dead worker's test and of its chips."""
        task, slot = self._undone.pop(node), self._fallen.pop(node, None)
        if task is not None and (decision := self._observer.again(self._ids[task.index])) is not None:
            assert self._dispatch is not None
            self._dispatch.again(task, avoid=decision.avoid)
        if slot is not None:
            self._examine(slot)

    def gives_up(self) -> str | None:
        """Return why the run should end before its tests have, if it should."""
        if self._max_deaths is not None and self._deaths > self._max_deaths:
            return f"maximum crashed workers reached: {self._max_deaths}"
        if self._fruitless >= _FRUITLESS:
            return f"{self._fruitless} workers in a row died before they had run any test"
        is_waiting = self._workers or self._examined or self._ground.is_waiting
        return None if is_waiting or self._dispatch is None else "no slot can be opened"

    # How it is done.

    def _complete(self, node: Any, index: int, result: str | float, *, begun: int | None) -> None:
        worker, task, began = self._workers[node], self._flying.pop(node), self._sent.pop(node)
        assert self._dispatch is not None
        assert worker.slot is not None
        self._fruitless = 0
        self._proven.add(node)
        following = None
        # A slot that has been given up has nothing to do, whatever its worker brings to an end before it dies.
        if node not in self._fallen:
            following = self._dispatch.done(worker.slot.name, index, self._clock() - began, begun=begun)
            self._line_up(worker, following)
        decision = self._observer.finished(self._ids[index], worker, result)
        self._repeated = index if decision is not None else None
        if decision is not None:
            self._dispatch.again(task, avoid=decision.avoid)
        if following is not None:
            self._note(worker, following)
        if node not in self._fallen and self._observer.is_condemned(worker):
            self._condemn(node, worker.slot)
        if node in self._ending:
            self._watch_end(worker)

    def _line_up(self, worker: Worker, following: Task | None) -> None:
        """Offer a worker that has begun a test by itself the one after it; take back what another has not begun."""
        assert worker.slot is not None
        assert self._dispatch is not None
        if following is None:
            self._crew.withdraw(worker)
        elif worker.node not in self._ending and not self._observer.is_late(worker):
            # Before all else: the test that it has begun may be over soon.
            offer = self._dispatch.offer(worker.slot.name)
            if offer is not None:
                self._offer(worker, offer)

    def _begin(self) -> None:
        machine = self._ground.machine
        if machine.shape is not None:
            self._start(None, {})
            return
        for number in range(self._size):
            slot = Slot(name=f"{machine.name}.{number}", machine=machine.name, chips=())
            self._early[slot.name] = self._start(slot, {})

    def _do(self, action: Action) -> bool:
        """Carry out an action; returns whether another may follow from it."""
        if isinstance(action, Open):
            self._open_slot(action.slot)
            return True
        worker = self._open[action.slot]
        if isinstance(action, Run):
            self._note(worker, action.task)
            self._crew.run(worker, action.task.index)
        elif isinstance(action, Next):
            self._offer(worker, action)
        else:
            self._end(worker)
        return False

    def _open_slot(self, slot: Slot) -> None:
        assert self._dispatch is not None
        worker = self._early.pop(slot.name, None)
        if worker is None:
            given = self._ground.take(slot)
            if given is None:
                self._dispatch.refused(slot.name)
                return
            if suspects := self._suspects & self._ground.machine.leased_with(slot.chips):
                self._suspects -= suspects
                self._dispatch.lost(slot.name)
                self._examine(slot)
                return
            worker = self._start(slot, given)
        self._open[slot.name] = worker
        self._announce(worker)

    def _announce(self, worker: Worker) -> None:
        """Tell the dispatch of a slot whose worker has collected."""
        if worker.slot is None:
            self._end(worker)
        elif worker.node in self._ready and self._open.get(worker.slot.name) is worker:
            assert self._dispatch is not None
            self._dispatch.opened(worker.slot.name)

    def _end(self, worker: Worker) -> None:
        worker.node.shutdown()
        self._watch_end(worker)

    def _watch_end(self, worker: Worker) -> None:
        self._ending.add(worker.node)
        # While a test is in flight that is what is watched.
        if worker.node not in self._flying:
            self._observer.ending(worker)

    def _start(self, slot: Slot | None, given: dict[str, object]) -> Worker:
        worker = self._crew.start(slot, {**given, **self._observer.tell()})
        self._workers[worker.node] = worker
        self._named[worker.name] = worker.node
        self._observer.started(worker)
        return worker

    def _offer(self, worker: Worker, action: Next) -> None:
        self._observer.offered(self._ids[action.task.index], worker)
        self._crew.offer(worker, action.task.index)

    def _note(self, worker: Worker, task: Task) -> None:
        """Take a test for one in flight."""
        self._observer.sent(self._ids[task.index], worker)
        self._flying[worker.node] = task
        self._sent[worker.node] = self._clock()

    def _condemn(self, node: Any, slot: Slot) -> None:
        """End a worker that must get no further test, and have its chips looked at."""
        assert self._dispatch is not None
        self._fallen[node] = slot
        self._open.pop(slot.name).kill()
        self._dispatch.lost(slot.name)

    def _examine(self, slot: Slot) -> None:
        """Have the chips of a slot looked at, which are away until then."""
        self._examined += 1
        self._observer.examined(slot)
        self._ground.examine(slot, lambda verdict: self._post(lambda: self._settle(slot, verdict)))

    def _settle(self, slot: Slot, verdict: Healthy | Spoiled) -> None:
        assert self._dispatch is not None
        self._examined -= 1
        spoiled = self._ground.conclude(slot, verdict)
        self._observer.judged(slot, spoiled)
        if spoiled:
            self._dispatch.spoiled(spoiled)
        if sound := self._ground.machine.leased_with(slot.chips) - spoiled:
            self._dispatch.available(sound)

    def _forget(self, node: Any) -> Worker:
        self._ready.discard(node)
        worker = self._workers.pop(node)
        self._crew.forget(worker)
        if worker.slot is not None and self._early.get(worker.slot.name) is worker:
            del self._early[worker.slot.name]
        return worker

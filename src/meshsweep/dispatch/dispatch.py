"""The state machine: slots, chips, memory and waiting tests; told of events, it answers with actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshsweep.dispatch.action import Action, Close, Open, Run, Task
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape
from meshsweep.slots import Slot

__all__ = ["Dispatch"]


@dataclass(slots=True)
class _Held:
    """A slot that is opening, open or ending; its chips are held whatever it does."""

    slot: Slot
    leased: frozenset[int]
    state: str = "opening"
    task: Task | None = None
    group: str | None = None
    memory_bytes: int = 0


@dataclass(slots=True)
class _Waiting:
    task: Task
    avoid: frozenset[int] = field(default_factory=frozenset)


class Dispatch:
    """Says which slots to open, which tests to run in them and which to close.

    ``workers`` bounds the slots that are open at the same time, ``memory_bytes`` what the
    tests that their workers hold may claim together.
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
    ) -> None:
        self._machine = machine
        self._meshes = meshes
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._held: dict[str, _Held] = {}
        self._waiting: list[_Waiting] = [_Waiting(task) for task in tasks]
        self._lost: dict[str, frozenset[int]] = {}
        self._refused: set[int] = set()
        self._spoiled: set[int] = set()
        self._impossible: list[tuple[Task, str]] = []
        self._opened = 0
        self._sort()

    # What happened.

    def opened(self, slot: str) -> None:
        """Note that a slot's worker is ready for tests."""
        self._held[slot].state = "open"

    def refused(self, slot: str) -> None:
        """Note that a slot's chips could not be leased: they are busy until ``available``."""
        self._refused |= self._held.pop(slot).leased

    def done(self, slot: str, index: int, seconds: float | None = None) -> None:
        """Note that a slot's test has ended, whatever its outcome."""
        held = self._held[slot]
        assert held.task is not None, f"{slot} has no test in flight"
        assert held.task.index == index, f"{slot} does not run test {index}"
        held.task = None

    def lost(self, slot: str) -> None:
        """Note that a slot's worker has died: its test is out of flight, its chips wait for a probe."""
        self._refused |= self._held.pop(slot).leased

    def closed(self, slot: str) -> None:
        """Note that a slot's worker has ended as asked: its chips are free."""
        self._held.pop(slot)

    def available(self, chips: frozenset[int]) -> None:
        """Note that chips which were refused or held after a loss can be leased again."""
        self._refused -= chips

    def spoiled(self, chips: frozenset[int]) -> None:
        """Note that chips are out of order: nothing is opened on them again."""
        self._spoiled |= chips
        self._refused -= chips

    def again(self, task: Task, *, avoid: frozenset[int] = frozenset()) -> None:
        """Put a test back; it runs on other chips than ``avoid`` where any others can hold it."""
        self._waiting.append(_Waiting(task, avoid))
        self._sort()

    # What to do.

    def actions(self, now_s: float | None = None) -> list[Action]:
        """Return what is to be done now, each thing once, in order."""
        found: list[Action] = []
        self._drop_impossible()
        for held in self._held.values():
            if held.state == "open" and held.task is None:
                found += self._feed(held)
        found += self._open()
        return found

    def impossible(self) -> list[tuple[Task, str]]:
        """Return the tests that no healthy chips can hold, with the reason; each is returned once."""
        self._drop_impossible()
        found, self._impossible = self._impossible, []
        return found

    @property
    def is_finished(self) -> bool:
        """Whether no test waits or is in flight."""
        return not self._waiting and not any(held.task for held in self._held.values())

    def _sort(self) -> None:
        self._waiting.sort(key=lambda w: (-self._devices(w.task), w.task.group, -(w.task.expected_s or 1.0)))

    def _devices(self, task: Task) -> int:
        return self._meshes[task.mesh].devices if task.mesh else 0

    def _feed(self, held: _Held) -> list[Action]:
        fitting = [w for w in self._waiting if self._may_run(w, held)]
        own = [w for w in fitting if w.task.group == held.group]
        taken = {other.group for other in self._held.values() if other is not held}
        fresh = [w for w in fitting if w.task.group not in taken]
        for waiting in (own or fresh or fitting)[:1]:
            self._waiting.remove(waiting)
            held.task, held.group = waiting.task, waiting.task.group
            held.memory_bytes = waiting.task.memory_bytes
            return [Run(slot=held.slot.name, task=waiting.task)]
        if not self._waiting or self._machine.shape is not None or self._wants(held):
            held.state = "closing"
            return [Close(slot=held.slot.name)]
        return []

    def _wants(self, held: _Held) -> bool:
        """Return whether giving up what an idle slot claims lets another go on."""
        return held.memory_bytes > 0

    def _may_run(self, waiting: _Waiting, held: _Held) -> bool:
        task = waiting.task
        if held.slot.mesh is not None and task.mesh and held.slot.mesh != task.mesh:
            return False
        if waiting.avoid & held.leased and self._placements(waiting, avoiding=True):
            return False
        return self._fits_memory(task.memory_bytes, but=held)

    def _fits_memory(self, memory_bytes: int, *, but: _Held | None = None) -> bool:
        if self._memory_bytes is None:
            return True
        others = sum(held.memory_bytes for held in self._held.values() if held is not but)
        return others + memory_bytes <= self._memory_bytes

    def _placements(self, waiting: _Waiting, *, avoiding: bool) -> list[tuple[int, ...]]:
        """Return the places of a test's mesh that are in order."""
        shape = self._meshes[waiting.task.mesh] if waiting.task.mesh else MeshShape(rows=1, cols=1)
        bad = self._spoiled | (waiting.avoid if avoiding else frozenset())
        return [p for p in self._machine.placements(shape) if not self._machine.leased_with(p) & bad]

    def _open(self) -> list[Action]:
        found: list[Action] = []
        opening = [held for held in self._held.values() if held.state == "opening"]
        spare = {mesh: sum(h.slot.mesh == mesh for h in opening) for mesh in {h.slot.mesh for h in opening}}
        for waiting in list(self._waiting):
            mesh = waiting.task.mesh if self._machine.shape is not None else None
            if spare.get(mesh, 0) > 0:
                spare[mesh] -= 1
                continue
            if self._workers is not None and len(self._held) >= self._workers:
                break
            if not self._fits_memory(waiting.task.memory_bytes):
                continue
            chips = self._free_place(waiting)
            if chips is None:
                break  # In order: what is smaller must not starve what is larger.
            slot = Slot(name=f"{self._machine.name}.{self._opened}", machine=self._machine.name, mesh=mesh, chips=chips)
            self._opened += 1
            leased = self._machine.leased_with(chips)
            self._held[slot.name] = _Held(
                slot, leased, group=waiting.task.group, memory_bytes=waiting.task.memory_bytes
            )
            found.append(Open(slot=slot))
        return found

    def _free_place(self, waiting: _Waiting) -> tuple[int, ...] | None:
        if self._machine.shape is None:
            return ()
        busy = self._refused.union(self._spoiled, *(held.leased for held in self._held.values()))
        places = self._placements(waiting, avoiding=True) or self._placements(waiting, avoiding=False)
        return next((p for p in places if not self._machine.leased_with(p) & busy), None)

    def _drop_impossible(self) -> None:
        for waiting in list(self._waiting):
            reason = self._reason(waiting)
            if reason:
                self._waiting.remove(waiting)
                self._impossible.append((waiting.task, reason))

    def _reason(self, waiting: _Waiting) -> str | None:
        task = waiting.task
        if self._memory_bytes is not None and task.memory_bytes > self._memory_bytes:
            need, have = task.memory_bytes / 2**30, self._memory_bytes / 2**30
            return f"needs {need:.1f} GiB of host memory, the budget is {have:.1f} GiB"
        if self._machine.shape is None or self._placements(waiting, avoiding=False):
            return None
        if self._spoiled:
            return f"no chips in order are left on {self._machine.name} that can open {task.mesh}"
        return f"mesh {task.mesh} does not fit machine {self._machine.name} (system mesh {self._machine.shape})"

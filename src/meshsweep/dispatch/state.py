"""What is held: slots with their chips, their tests in flight, and the host memory that they claim."""

from __future__ import annotations

from math import inf

from meshsweep.dispatch.action import Task
from meshsweep.dispatch.block import Waiting
from meshsweep.planning.slots import Slot

__all__ = ["Held", "State"]


class Held:
    """A slot that is opening, open or closing: its chips are held whatever it does.

    ``waiting`` is its test in flight, ``next`` the one that it may begin by itself; ``until_s`` is when it is
    expected to be free for another test, ``mask`` its leased chips as bits.
    """

    __slots__ = ("claim_bytes", "group", "is_closing", "mask", "mesh", "next", "slot", "until_s", "waiting")

    def __init__(self, slot: Slot, mesh: str, mask: int, task: Task, until_s: float) -> None:
        self.slot = slot
        self.mesh = mesh
        self.mask = mask
        self.is_closing = False
        self.waiting: Waiting | None = None
        self.next: Waiting | None = None
        self.group = task.group
        self.claim_bytes = task.memory_bytes
        self.until_s = until_s


class State:
    """Slots by name, chips as bits, and memory; every chip is free, held, away or spoiled.

    ``usable`` are the chips that are not spoiled, ``away`` those in other hands or under a probe.
    """

    def __init__(self, chips: int, *, workers: int | None, memory_bytes: int | None) -> None:
        self.held: dict[str, Held] = {}
        #: Slots that can be given a test.
        self.idle: dict[str, Held] = {}
        self.usable = self.free = chips
        self.away = 0
        self._workers = inf if workers is None else workers
        self._budget_bytes = inf if memory_bytes is None else memory_bytes
        self._claimed_bytes = 0

    @property
    def has_worker(self) -> bool:
        """Whether one more slot may be open."""
        return len(self.held) < self._workers

    @property
    def workers(self) -> float:
        """How many slots may be open at the same time."""
        return self._workers

    def lanes(self, mesh: str | None) -> list[Held]:
        """Return the slots of a mesh, or all, that go on."""
        return [held for held in self.held.values() if not held.is_closing and (mesh is None or held.mesh == mesh)]

    def groups(self) -> set[str]:
        """Return the cells that slots work on."""
        return {held.group for held in self.held.values()}

    def room_bytes(self, but: Held | None = None) -> float:
        """Return the memory that a slot may claim, what it claims already included."""
        return self._budget_bytes - self._claimed_bytes + (but.claim_bytes if but else 0)

    def enter(self, held: Held) -> None:
        """Take chips and memory for a slot."""
        self.held[held.slot.name] = held
        self.free &= ~held.mask
        self._claimed_bytes += held.claim_bytes

    def ready(self, slot: str, now_s: float) -> Held:
        """Take a slot as idle: its worker has started, or its test has ended."""
        held = self.held[slot]
        held.waiting = None
        held.until_s = now_s
        self.idle[slot] = held
        return held

    def run(self, held: Held, waiting: Waiting, now_s: float) -> None:
        """Put a test in flight; the slot claims what its cell needs from now on."""
        self._claimed_bytes += waiting.task.memory_bytes - held.claim_bytes
        held.waiting = waiting
        held.group = waiting.task.group
        held.claim_bytes = waiting.task.memory_bytes
        held.until_s = now_s + waiting.expected_s
        del self.idle[held.slot.name]

    def close(self, held: Held) -> None:
        """Give an idle slot no more tests."""
        held.is_closing = True
        del self.idle[held.slot.name]

    def leave(self, slot: str, *, is_away: bool) -> None:
        """Give up a slot; its chips are free, or away until somebody says otherwise."""
        held = self.held.pop(slot)
        self.idle.pop(slot, None)
        self._claimed_bytes -= held.claim_bytes
        if is_away:
            self.away |= held.mask & self.usable
        else:
            self.free |= held.mask & self.usable

    def available(self, mask: int) -> None:
        """Take chips back that were away."""
        mask &= self.away
        self.away &= ~mask
        self.free |= mask & self.usable

    def spoil(self, mask: int) -> None:
        """Never use chips again; a slot that holds them keeps them until it ends."""
        self.usable &= ~mask
        self.free &= ~mask
        self.away &= ~mask

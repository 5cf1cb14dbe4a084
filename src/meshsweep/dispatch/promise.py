"""Chips or a worker that are kept for a mesh which cannot open yet, so that smaller ones never starve it."""

from __future__ import annotations

from math import inf

from meshsweep.dispatch.block import Block
from meshsweep.dispatch.floorplan import Floorplan
from meshsweep.dispatch.queue import Queue
from meshsweep.dispatch.state import Held, State

__all__ = ["Promise"]


class Promise:
    """At most one block that waits for chips or a worker, and what is kept for it.

    Slots on promised chips still run tests that end before the last of these chips is free.
    """

    def __init__(self, state: State, queue: Queue, floor: Floorplan) -> None:
        self._state = state
        self._queue = queue
        self._floor = floor
        self._block: Block | None = None
        self._mask = 0
        self._needs_worker = False

    def make(self, block: Block) -> None:
        """Keep for a block the chips that it can have soonest, and a worker where none is left."""
        if self._holds() or self._state.room_bytes() < block.least_bytes:
            return
        self._needs_worker = not self._state.has_worker
        if self._floor.all:
            mask = self._soonest(block)
            if mask is None:
                return
            self._mask = mask
        elif not self._needs_worker:
            return
        self._block = block

    def keep(self, block: Block) -> None:
        """Note that a block has got a slot."""
        if self._block is block:
            self.drop()

    def drop(self) -> None:
        """Keep nothing for anybody."""
        self._block = None
        self._mask = 0
        self._needs_worker = False

    def keeps_from(self, block: Block) -> int:
        """Return the chips that a block may not open a slot on."""
        return self._mask if self._holds() and self._block is not block else 0

    def window_s(self, block: Block, held: Held, now_s: float) -> float:
        """Return how long a test of a block may take in a slot."""
        if not self._holds() or block is self._block:
            return inf
        if held.mask & self._mask:
            return max(other.until_s for other in self._state.held.values() if other.mask & self._mask) - now_s
        return -inf if self._takes_worker_of(held) else inf

    def claims(self, held: Held) -> bool:
        """Return whether an idle slot stands on what is promised."""
        return self._holds() and (bool(held.mask & self._mask) or self._takes_worker_of(held))

    def _holds(self) -> bool:
        if self._block is not None and not self._block.count:
            self.drop()
        return self._block is not None

    def _takes_worker_of(self, held: Held) -> bool:
        if not self._needs_worker or self._state.has_worker or self._block is None:
            return False
        return not any(other.is_closing for other in self._state.held.values()) and not self._outranks(
            held, self._block
        )

    def _soonest(self, block: Block) -> int | None:
        held = self._state.held.values()
        usable = self._state.usable & ~self._state.away
        if block.avoid and self._floor.holds(block.mesh, self._state.usable & ~block.avoid):
            usable &= ~block.avoid
        for other in held:
            if self._outranks(other, block):
                usable &= ~other.mask
        return self._floor.soonest(block.mesh, usable, [(other.mask, other.until_s) for other in held])

    def _outranks(self, held: Held, block: Block) -> bool:
        """Return whether a slot works for the block's mesh, or one that goes before it."""
        if held.mesh == block.mesh:
            return True
        return any(other.mesh == held.mesh and other.rank < block.rank for other in self._queue.blocks)

"""How many slots a mesh needs: enough to be done in time, and more where that ends sooner."""

from __future__ import annotations

from math import inf

from meshsweep.dispatch.block import Block
from meshsweep.dispatch.policy import Policy
from meshsweep.dispatch.queue import Queue
from meshsweep.dispatch.state import State

__all__ = ["Demand"]

_EPSILON_S = 1e-9
#: Demands are looked at again after this part of what is left, although no slot has come or gone.
_LOOKS = 100


class Demand:
    """Whether one more slot is worth opening, seen from what waits and from the slots there are."""

    def __init__(self, state: State, queue: Queue, policy: Policy, *, open_s: float, chips: int) -> None:
        self._state = state
        self._queue = queue
        self._horizon_s = policy.horizon_s
        self._open_s = open_s
        self._chips = chips

    def pause_s(self, now_s: float) -> float:
        """Return how long a decision holds while no slot comes or goes."""
        # On a virtual machine there is nothing to be gained by looking more often.
        has_end = self._horizon_s is not None or not self._chips
        return (self._end_s(now_s) - now_s) / _LOOKS if has_end else 0.0

    def wants(self, block: Block, count: int, load_s: float, *, now_s: float, is_needed: bool) -> bool:
        """Return whether a block needs one more slot to end in time, or would gain by one.

        ``count`` tests of ``load_s`` seconds go before it in the same slots.
        """
        lanes = self._state.lanes(block.mesh if self._chips else None)
        if not lanes:
            return True
        count += block.count
        load_s += block.load_s
        ends = [max(now_s, held.until_s) for held in lanes if held.waiting is not None]
        fresh = len(lanes) - len(ends)
        if count <= fresh:
            return False
        ends += [now_s + self._open_s] * fresh
        if is_needed and self._horizon_s is not None:
            return self._is_late(block, load_s, ends, now_s)
        return self._gain_s(block, load_s, ends, now_s) > (self._open_s if is_needed else 0.0) + _EPSILON_S

    def _is_late(self, block: Block, load_s: float, ends: list[float], now_s: float) -> bool:
        horizon_s = self._end_s(now_s)
        if load_s > sum(horizon_s - end for end in ends if end < horizon_s):
            return True
        return min(ends) + block.longest_s > horizon_s + _EPSILON_S

    def _gain_s(self, block: Block, load_s: float, ends: list[float], now_s: float) -> float:
        """Return how much sooner a mesh is done with one more slot."""
        fresh_s = now_s + self._open_s
        total_s, first_s, longest_s = sum(ends) + load_s, min(ends), block.longest_s
        alone = max(total_s / len(ends), first_s + longest_s)
        helped = max((total_s + fresh_s) / (len(ends) + 1), min(first_s, fresh_s) + longest_s)
        return alone - helped

    def _end_s(self, now_s: float) -> float:
        """Return when all is to be done: as planned, or later where what is left does not allow that."""
        blocks = self._queue.blocks
        ends = [self._horizon_s or 0.0]
        if self._chips:
            ends.append(now_s + sum(block.load_s * block.chips for block in blocks) / self._chips)
        if self._state.workers < inf:
            ends.append(now_s + sum(block.load_s for block in blocks) / self._state.workers)
        return max(ends)

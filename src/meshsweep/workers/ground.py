"""What slots stand on: the chips of the host, taken before a worker starts, looked at after one has died."""

from __future__ import annotations

from collections.abc import Callable

from meshsweep.machines import Machine
from meshsweep.planning.slots import Slot
from meshsweep.probe import Healthy, Spoiled

__all__ = ["Ground"]


class Ground:
    """Chips that nobody else wants and that never break, as emulated ones of a virtual machine.

    Every method returns at once and is called from one thread.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def is_waiting(self) -> bool:
        """Whether chips were refused that may be had later."""
        return False

    def take(self, slot: Slot) -> dict[str, object] | None:
        """Take a slot's chips and return what its worker must be told, None where another run has them."""
        return {}

    def leave(self, slot: Slot) -> None:
        """Give a slot's chips back, after its worker has ended in order."""

    def examine(self, slot: Slot, done: Callable[[Healthy | Spoiled], None]) -> None:
        """Find out whether the chips of a slot whose worker died are sound; ``done`` is told, from any thread."""
        done(Healthy())

    def conclude(self, slot: Slot, verdict: Healthy | Spoiled) -> frozenset[int]:
        """Take in what ``examine`` has found; returns the chips that may not be used again."""
        leased = self.machine.leased_with(slot.chips)
        return frozenset() if isinstance(verdict, Healthy) else verdict.chips or leased

    def freed(self) -> tuple[frozenset[int], ...]:
        """Return chips that were refused and can be had from now on; what nobody takes now is given back later."""
        return ()

    def forfeited(self) -> tuple[tuple[frozenset[int], frozenset[int]], ...]:
        """Return chips that were refused and are waited for no more, and those that were only asked for with them."""
        return ()

    def close(self) -> None:
        """Give back everything."""

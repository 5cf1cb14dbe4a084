"""Stand on chips that other runs of the host want too, and that may break."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from meshsweep import probe
from meshsweep.leases.names import listed
from meshsweep.leases.pool import Lease, Leases, Waiting
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.probe import Healthy, Patient, Spoiled
from meshsweep.workers.ground import Ground

__all__ = ["Leasehold"]

_POLL_S = 0.1
#: Who waits for less than this need not be told for whom.
_PATIENCE_S = 1.0
#: For whom a run waits is said so often.
_SILENCE_S = 30.0
#: How long to wait for a process that outlived its run before its chips are given up.
_ORPHANS_S = 120.0


class Leasehold(Ground):
    """Chips of a real or simulated machine; ``tell`` is given what the user should know."""

    def __init__(
        self,
        machine: Machine,
        leases: Leases,
        environment: Environment,
        meshes: Mapping[str, Mesh],
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(machine)
        self._leases = leases
        self._environment = environment
        self._meshes = meshes
        self._tell = tell
        self._clock = clock
        self._held: dict[str, Lease] = {}
        self._told_s = -_SILENCE_S
        self._polled_s = 0.0
        self._has_kept = False

    @property
    def is_waiting(self) -> bool:
        """Whether chips were refused that may be had later."""
        return bool(self._leases.waiting)

    def take(self, slot: Slot) -> dict[str, object] | None:
        """Lease a slot's chips with the boards that they are on; None: this run stands in the queue for them."""
        lease = self._leases.take(self.machine.leased_with(slot.chips))
        if lease is None:
            return None
        self._held[slot.name] = lease
        return {"lease": lease.terms.to_json()}

    def leave(self, slot: Slot) -> None:
        """Give a slot's chips back; a process that has not quite ended still holds their ``.use``."""
        lease = self._held.pop(slot.name, None)
        if lease is not None:
            lease.release()

    def examine(self, slot: Slot, done: Callable[[Healthy | Spoiled], None]) -> None:
        """Have the chips looked at, reset where need be, and looked at again; they stay leased meanwhile."""
        lease = self._held.get(slot.name)
        if lease is None or slot.mesh is None:
            done(Healthy())
            return
        mesh = self._meshes[slot.mesh]
        patient = Patient(environment=self._environment, machine=self.machine, slot=slot, mesh=mesh, terms=lease.terms)
        probe.begin(patient, done)

    def conclude(self, slot: Slot, verdict: Healthy | Spoiled) -> frozenset[int]:
        """Keep sound chips for the worker that follows; others are kept from everybody until this run ends."""
        spoiled = super().conclude(slot, verdict)
        if isinstance(verdict, Spoiled):
            self._tell(f"{listed(self.machine.name, spoiled)}: spoiled, not used again: {verdict.reason}")
        elif verdict.resets:
            chips = self.machine.leased_with(slot.chips)
            self._tell(f"{listed(self.machine.name, chips)}: sound again after a reset")
        lease = self._held.pop(slot.name, None)
        if lease is not None:
            lease.keep(but=spoiled)
            self._has_kept = True
        return spoiled

    def freed(self) -> tuple[frozenset[int], ...]:
        """Return chips that this run was refused and now holds."""
        if not self._has_kept:
            # What was got or kept before, and not taken since.
            self._leases.settle()
        self._has_kept = False
        if not self._leases.waiting or self._clock() - self._polled_s < _POLL_S:
            return ()
        self._polled_s = self._clock()
        granted = self._leases.poll()
        self._tell_waiting()
        return granted

    def forfeited(self) -> tuple[tuple[frozenset[int], frozenset[int]], ...]:
        """Return chips that only processes have kept from this run that outlived their own, or that are spoiled."""
        return tuple(map(self._forfeit, self._leases.give_up(_ORPHANS_S)))

    def _forfeit(self, waiting: Waiting) -> tuple[frozenset[int], frozenset[int]]:
        spoiled = self._leases.barred(waiting.chips)
        if spoiled:
            self._tell(f"{listed(self.machine.name, spoiled)}: found spoiled by another run, not waited for")
            return spoiled, waiting.chips - spoiled
        self._tell(f"{waiting.message()}; given up after {_ORPHANS_S:g} s: end that process")
        return waiting.chips, frozenset()

    def close(self) -> None:
        """Give back everything."""
        self._leases.close()

    def _tell_waiting(self) -> None:
        patient = [one for one in self._leases.waiting if time.monotonic() - one.since_s >= _PATIENCE_S]
        if patient and self._clock() - self._told_s >= _SILENCE_S:
            self._told_s = self._clock()
            self._tell(self._leases.describe(*patient))

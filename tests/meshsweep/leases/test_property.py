"""Any machine, any requests, any crash: one holder for a chip, the first come first.

Locks belong to open files, so several sweeps of one process meet like processes; a killed one is one whose files the
kernel has closed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshsweep.leases.pool import Lease, Leases
from meshsweep.leases.use import Use

CHIPS = 6
runs = st.integers(0, 2)
wanted = st.frozensets(st.integers(0, CHIPS - 1), min_size=1, max_size=CHIPS)


class Host(RuleBasedStateMachine):
    """Three sweeps on one host, and a model that knows who must get what."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory(prefix="leases-")
        self.directory = Path(self.scratch.name)
        self.runs = [self.start(number) for number in range(3)]
        self.leases: list[tuple[int, Lease]] = []
        self.workers: list[tuple[Leases, frozenset[int], Use]] = []
        self.queue: list[tuple[int, frozenset[int]]] = []

    def teardown(self) -> None:
        for sweep in self.runs:
            sweep.close()
        for *_, worker in self.workers:
            worker.release()
        self.scratch.cleanup()

    def start(self, number: int) -> Leases:
        """Return a sweep."""
        return Leases(self.directory, "m", f"r{number}")

    def held(self) -> frozenset[int]:
        """Return what the model says is reserved."""
        return frozenset().union(*(lease.chips for _, lease in self.leases))

    def used(self, by_others_than: Leases | None = None) -> frozenset[int]:
        """Return what the model says some process has open; a run's next worker waits for its last one by itself."""
        return frozenset().union(*(chips for sweep, chips, _ in self.workers if sweep is not by_others_than))

    def is_grantable(self, number: int, chips: frozenset[int], before: int) -> bool:
        """Say whether chips are free and nobody else has asked for any of them earlier."""
        earlier = [other for owner, other in self.queue[:before] if owner != number]
        return not chips & (self.held() | self.used(self.runs[number])) and not any(chips & other for other in earlier)

    @rule(number=runs, chips=wanted)
    def take(self, number: int, chips: frozenset[int]) -> None:
        expected = self.is_grantable(number, chips, len(self.queue))
        lease = self.runs[number].take(chips)

        assert (lease is not None) == expected
        if lease is not None:
            self.leases.append((number, lease))
            self.queue = [entry for entry in self.queue if entry != (number, chips)]
        elif (number, chips) not in self.queue:
            self.queue.append((number, chips))

    @rule(number=runs, wants=wanted)
    def poll(self, number: int, wants: frozenset[int]) -> None:
        granted = self.runs[number].poll()
        spare: frozenset[int] = frozenset()
        expected = []
        for place, (owner, chips) in enumerate(self.queue):
            if owner == number and self.is_grantable(number, chips, place):
                spare |= chips
                expected.append(chips)

        assert list(granted) == expected
        for chips in expected:
            self.queue.remove((number, chips))
        # What was granted can be taken in other pieces.
        if spare & wants:
            lease = self.runs[number].take(spare & wants)
            assert lease is not None
            self.leases.append((number, lease))
            self.queue = [entry for entry in self.queue if entry != (number, lease.chips)]
        self.runs[number].settle()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.leases))
        self.leases.remove(entry)
        entry[1].release()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        number, lease = data.draw(st.sampled_from(self.leases))
        if not lease.chips & self.used():
            self.workers.append((self.runs[number], lease.chips, lease.terms.use(timeout_s=0)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def end_work(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.workers))
        self.workers.remove(entry)
        entry[2].release()

    @rule(number=runs)
    def kill(self, number: int) -> None:
        """A controller dies: the kernel closes its files. Its workers live on."""
        sweep = self.runs[number]
        tickets = [waiting.ticket for waiting in sweep.waiting]
        for held in [*sweep._held.values(), *sweep._spare.values(), *tickets]:
            held.forget()
        self.leases = [(owner, lease) for owner, lease in self.leases if owner != number]
        self.queue = [(owner, chips) for owner, chips in self.queue if owner != number]
        self.runs[number] = self.start(number)

    @rule(chip=st.integers(0, CHIPS - 1), mask=st.integers(1, 2**CHIPS - 1))
    def litter(self, chip: int, mask: int) -> None:
        """Files that nobody has locked mean nothing, whatever they say and whether they are there."""
        (self.directory / f"m.ticket.{mask:020d}.{mask:x}.litter").write_text("{}")
        if chip not in self.held() | self.used():
            for kind in ("lock", "use"):
                (self.directory / f"m.{chip}.{kind}").unlink(missing_ok=True)
                if mask % 2:
                    (self.directory / f"m.{chip}.{kind}").write_text('{"user": "nobody"')

    @invariant()
    def chips_have_one_holder(self) -> None:
        held = [chip for _, lease in self.leases for chip in lease.chips]

        assert len(held) == len(set(held))


TestHost = Host.TestCase
TestHost.settings = settings(max_examples=60, stateful_step_count=30)

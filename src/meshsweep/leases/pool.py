"""Take chips for slots, all of a slot or none, and wait for them in order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from meshsweep.leases import lock, names, place, queue
from meshsweep.leases.holder import Holder
from meshsweep.leases.lock import Lock
from meshsweep.leases.record import Record
from meshsweep.leases.use import Terms

__all__ = ["Lease", "Leases", "Waiting", "wait"]

#: Stands for the token of chips that no worker gets.
_SPOILED = "spoiled"


class Lease:
    """The chips of a slot, held until ``release``; ``token`` lets its workers see that they still have them."""

    def __init__(self, leases: Leases, locks: dict[int, Lock], token: str) -> None:
        self._leases = leases
        self._locks = locks
        self.chips = frozenset(locks)
        self.token = token

    @property
    def terms(self) -> Terms:
        """What a worker must be told to use the chips."""
        leases = self._leases
        chips = tuple(sorted(self.chips))
        return Terms(directory=leases.directory, machine=leases.machine, chips=chips, token=self.token, run=leases.run)

    def keep(self, but: Collection[int] = ()) -> None:
        """Put chips aside for this run's next ``take``; ``settle`` gives back what is not taken.

        All ``but`` some, which are spoiled: nobody gets those before this run has ended.
        """
        kept = {chip: held for chip, held in self._locks.items() if chip not in but}
        self._locks = {chip: held for chip, held in self._locks.items() if chip in but}
        self._leases.spare(kept)
        self._leases.bar(self._locks)

    def release(self) -> None:
        """Give the chips back; a second time does nothing."""
        locks, self._locks = self._locks, {}
        self._leases.drop(locks)


class Waiting:
    """A request in the queue: the chips it wants, and since when (seconds of the monotonic clock)."""

    def __init__(self, leases: Leases, chips: frozenset[int], ticket: Lock) -> None:
        self._leases = leases
        self.chips = chips
        self.since_s = time.monotonic()
        self.ticket = ticket
        #: Since when nothing but a process that outlived its controller stands in the way; None: it does not.
        self.orphaned_since_s: float | None = None

    def message(self) -> str:
        """Return for whom it waits."""
        return self._leases.describe(self)


class Leases:
    """What one run holds of a host's chips; no call waits. Raises InfraError where there can be no lock files."""

    def __init__(self, directory: Path, machine: str, holder: str, *, log: Path | None = None) -> None:
        self.directory = directory
        self.machine = machine
        self.run = holder
        self._record = Record(log, machine)
        self._held: dict[int, Lock] = {}
        self._spare: dict[int, Lock] = {}
        self._waiting: dict[str, Waiting] = {}
        self._tokens: set[str] = set()
        #: Chips that this run keeps from everybody until it ends.
        self._spoiled: set[int] = set()

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The requests that were refused, in the order in which they were made."""
        return tuple(self._waiting.values())

    def take(self, chips: Collection[int]) -> Lease | None:
        """Return a lease of all of ``chips``, or None and stand in the queue for them."""
        wanted = frozenset(chips)
        places = [name for name, waiting in self._waiting.items() if waiting.chips == wanted]
        if not wanted:
            return Lease(self, {}, "")
        place.prepare(self.directory)
        token = secrets.token_hex(8)
        gained = self._reserve(wanted - self._spare.keys(), token)
        if gained is None:
            if not places:
                self._queue(wanted)
            return None
        for name in places:
            self._leave(name)
        kept = {chip: self._spare.pop(chip) for chip in wanted & self._spare.keys()}
        self._sign(kept.values(), token)
        self._tokens.add(token)
        locks = {**gained, **kept}
        self._held.update(locks)
        return Lease(self, locks, token)

    def poll(self) -> tuple[frozenset[int], ...]:
        """Return the refused requests whose chips this run holds from now on.

        Take what is wanted of them, then ``settle``.
        """
        granted = []
        for name, waiting in list(self._waiting.items()):
            wanted = waiting.chips
            gained = self._reserve(wanted - self._spare.keys(), "", waiting)
            if gained is not None:
                self._spare.update(gained)
                self._leave(name)
                granted.append(wanted)
        return tuple(granted)

    def settle(self) -> None:
        """Give back what ``poll`` got and nobody took: who keeps chips and waits for others stops two sweeps."""
        spare, self._spare = self._spare, {}
        self.drop(spare)

    def give_up(self, after_s: float) -> tuple[Waiting, ...]:
        """Leave and return the requests that only orphans have kept waiting for longer than ``after_s``.

        And those that want what another run keeps until it ends, while this run does the same: each would wait
        for the other.
        """
        now = time.monotonic()
        stuck = {
            name: waiting
            for name, waiting in self._waiting.items()
            if (waiting.orphaned_since_s is not None and now - waiting.orphaned_since_s >= after_s)
            or (self._spoiled and self.barred(waiting.chips))
        }
        for name in stuck:
            self._leave(name)
        return tuple(stuck.values())

    def holders(self, chips: Collection[int]) -> tuple[str, ...]:
        """Return who holds some of ``chips``, each run once."""
        reserved = self._who(names.lock_name(self.machine, chip) for chip in sorted(chips))
        used = self._who(names.use_name(self.machine, chip) for chip in sorted(chips))
        return (*reserved, *(f"{who}, which still has them open" for who in used if not reserved))

    def barred(self, chips: Collection[int]) -> frozenset[int]:
        """Return the chips that another run has found spoiled and keeps until it ends."""
        files = {chip: names.lock_name(self.machine, chip) for chip in chips}
        held = {chip: lock.holder(self.directory, n) for chip, n in files.items() if lock.is_held(self.directory, n)}
        return frozenset(
            chip for chip, who in held.items() if who is not None and who.token == _SPOILED and who.run != self.run
        )

    def describe(self, *requests: Waiting) -> str:
        """Return for whom requests wait: who holds their chips, and who comes first."""
        chips = frozenset().union(*(waiting.chips for waiting in requests))
        queued = self._who(name for waiting in requests for name in self._ahead(waiting.chips, waiting))
        held = " and ".join(self.holders(chips)) or "their turn"
        text = f"{names.listed(self.machine, chips)}: waiting for {held}"
        return text + (f"; first in the queue: {' and '.join(queued)}" if queued else "")

    def spare(self, locks: dict[int, Lock]) -> None:
        """Put chips aside."""
        for chip in locks:
            del self._held[chip]
        self._spare.update(locks)

    def bar(self, locks: dict[int, Lock]) -> None:
        """Keep spoiled chips from everybody until this run ends, and let others read that."""
        self._spoiled |= locks.keys()
        self._sign(locks.values(), _SPOILED)

    def drop(self, locks: dict[int, Lock]) -> None:
        """Let go of chips, those that are still held."""
        held = {chip: one for chip, one in locks.items() if one.fileno() >= 0}
        try:
            # Before the locks, so that no line of another comes first.
            self._record.release("lock", held)
        finally:
            for chip in held:
                self._held.pop(chip, None)
            _close(held.values())

    def close(self) -> None:
        """Give back everything, places in the queue too."""
        for name in list(self._waiting):
            self._leave(name)
        self.drop({**self._held, **self._spare})
        self._spare = {}

    def _reserve(self, chips: frozenset[int], token: str, waiting: Waiting | None = None) -> dict[int, Lock] | None:
        """Return the locks of all of ``chips``, or None."""
        if self._ahead(chips, waiting):
            return None
        locks: dict[int, Lock] = {}
        complete = False
        try:
            orphaned = self._lock_all(chips, locks, token) and self._is_used(chips)
            _note_orphan(waiting, orphaned=orphaned)
            if len(locks) == len(chips) and not orphaned:
                self._record.take("lock", locks)
                complete = True
        finally:
            if not complete:
                _close(locks.values())
        return locks if complete else None

    def _lock_all(self, chips: frozenset[int], locks: dict[int, Lock], token: str) -> bool:
        """Put locks of ``chips`` into ``locks`` until one cannot be had; return whether all could."""
        for chip in sorted(chips):
            held = lock.attempt(self.directory, names.lock_name(self.machine, chip))
            if held is None:
                return False
            locks[chip] = held
        # Before anybody looks for orphans: one that starts meanwhile sees that the chips are no longer its own.
        self._sign(locks.values(), token)
        return True

    def _is_used(self, chips: frozenset[int]) -> bool:
        """Return whether another run's process has some of ``chips`` open; for an own one its successor waits."""
        files = [names.use_name(self.machine, chip) for chip in sorted(chips)]
        held = [lock.holder(self.directory, name) for name in files if lock.is_held(self.directory, name)]
        return any(who is None or who.token not in self._tokens for who in held)

    def _sign(self, locks: Iterable[Lock], token: str) -> None:
        note = Holder.current(self.run, since=time.time(), token=token).to_note()
        for held in locks:
            held.write(note)

    def _ahead(self, chips: frozenset[int], waiting: Waiting | None) -> list[str]:
        ticket = waiting.ticket.name if waiting else ""
        machine = names.file_name(self.machine)
        return queue.ahead(self.directory, machine, chips, own=self._waiting, ticket=ticket, kept=self._spoiled)

    def _queue(self, chips: frozenset[int]) -> None:
        note = Holder.current(self.run, since=time.time())
        ticket = queue.draw(self.directory, names.file_name(self.machine), chips, note)
        self._waiting[ticket.name] = Waiting(self, chips, ticket)

    def _leave(self, name: str) -> None:
        queue.leave(self.directory, self._waiting.pop(name).ticket)

    def _who(self, files: Iterable[str]) -> tuple[str, ...]:
        held = [name for name in files if lock.is_held(self.directory, name)]
        known = [lock.holder(self.directory, name) for name in held]
        # One run, one mention: its first, whatever it has taken since.
        runs = {who and (who.user, who.run): who for who in reversed(known)}
        return tuple(str(who) if who else "somebody" for who in reversed(runs.values()))


def wait(leases: Leases, chips: Collection[int], *, tell: Callable[[str], None], pause_s: float = 0.2) -> Lease:
    """Return a lease of ``chips`` when they can be had; ``tell`` is given for whom this waits."""
    lease = leases.take(chips)
    told = ""
    while lease is None:
        text = leases.waiting[0].message()
        if text != told:
            told = text
            tell(text)
        time.sleep(pause_s)
        leases.poll()
        lease = leases.take(chips)
    return lease


def _note_orphan(waiting: Waiting | None, *, orphaned: bool) -> None:
    if waiting is not None:
        since_s = waiting.orphaned_since_s
        waiting.orphaned_since_s = (time.monotonic() if since_s is None else since_s) if orphaned else None


def _close(locks: Iterable[Lock]) -> None:
    for held in locks:
        held.close()

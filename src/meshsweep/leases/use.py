"""Hold the chips of a slot in the very process that opens them, until it dies."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshsweep.errors import InfraError
from meshsweep.leases import lock, names
from meshsweep.leases.holder import Holder
from meshsweep.leases.lock import Lock
from meshsweep.leases.record import Record

__all__ = ["PATIENCE_S", "Terms", "Use", "use"]

#: How long a process that was killed may take to be gone: drivers have chips to close.
PATIENCE_S = 30.0

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.1


class Use:
    """Chips that this process may open; forked children have them too, as they have its devices."""

    def __init__(self, locks: dict[int, Lock], record: Record) -> None:
        self._locks = locks
        self._record = record

    def files(self) -> tuple[int, ...]:
        """Return the open files: a program that inherits them holds the chips until it ends."""
        return tuple(held.fileno() for held in self._locks.values())

    def release(self) -> None:
        """Say that every device is closed; a second time does nothing."""
        locks, self._locks = self._locks, {}
        self._record.release("use", locks)
        for held in locks.values():
            held.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What another process must know to use the chips of a lease."""

    directory: Path
    machine: str
    chips: tuple[int, ...]
    token: str
    run: str

    def to_json(self) -> dict[str, object]:
        """Return the terms as JSON values."""
        return {
            "directory": str(self.directory),
            "machine": self.machine,
            "chips": list(self.chips),
            "token": self.token,
            "run": self.run,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Terms:
        """Return the terms that ``to_json`` wrote."""
        return cls(**{**data, "directory": Path(data["directory"]), "chips": tuple(data["chips"])})

    def use(self, *, timeout_s: float = PATIENCE_S, log: Path | None = None) -> Use:
        """Hold the chips in this process; raises InfraError as ``use`` does."""
        return use(self.directory, self.machine, self.chips, timeout_s, token=self.token, run=self.run, log=log)


def use(
    directory: Path,
    machine: str,
    chips: Collection[int],
    timeout_s: float,
    *,
    token: str = "",
    run: str = "unknown",
    log: Path | None = None,
) -> Use:
    """Hold chips that the controller has leased, once whoever used them before has died.

    Raises InfraError where that takes longer than ``timeout_s``, naming the process, and where the lease that
    ``token`` belongs to has passed to another run.
    """
    deadline = time.monotonic() + timeout_s
    record = Record(log, machine)
    locks: dict[int, Lock] = {}
    note = Holder.current(run, since=time.time(), token=token).to_note()
    try:
        for chip in sorted(set(chips)):
            locks[chip] = _wait(directory, names.use_name(machine, chip), f"{machine} chip {chip}", deadline)
            locks[chip].write(note)
        # After the locks: a controller that takes over signs first, then looks who uses the chips.
        _check_lease(directory, machine, locks, token)
        record.take("use", locks)
    except BaseException:
        for held in locks.values():
            held.close()
        raise
    return Use(locks, record)


def _wait(directory: Path, name: str, chip: str, deadline: float) -> Lock:
    start = time.monotonic()
    pause_s = _FIRST_PAUSE_S
    while (held := lock.attempt(directory, name, private=False)) is None:
        if time.monotonic() >= deadline:
            who = lock.holder(directory, name) or "somebody"
            raise InfraError(
                f"{chip} is still in use after {time.monotonic() - start:.1f} s: {who}; end that process, or run on "
                "other chips"
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return held


def _check_lease(directory: Path, machine: str, chips: Collection[int], token: str) -> None:
    """Raise InfraError where the controller has died and its chips may be another's."""
    if not token:
        return
    for chip in chips:
        name = names.lock_name(machine, chip)
        who = lock.holder(directory, name)
        if who is None or who.token != token or not lock.is_held(directory, name):
            now = f"{who} has it now" if who is not None and lock.is_held(directory, name) else "nobody holds it now"
            raise InfraError(f"{machine} chip {chip} is no longer leased to run by this worker: {now}; start it again")

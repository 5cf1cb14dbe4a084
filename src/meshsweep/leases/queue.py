"""Keep the order of those who wait for chips: a queue that is made of held locks.

A ticket is a file that its owner keeps locked. Its name says when it was drawn and for which chips, and cannot be
changed by others; the ticket of a process that has died is no longer locked and counts for nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from meshsweep.errors import InfraError
from meshsweep.leases import lock
from meshsweep.leases.holder import Holder
from meshsweep.leases.lock import Lock

__all__ = ["ahead", "draw", "leave"]


def draw(directory: Path, machine: str, chips: Collection[int], holder: Holder) -> Lock:
    """Return a new ticket, behind all that there are."""
    # The clock is the host's: of two draws of which one ended before the other began, it tells the first.
    name = f"{machine}.ticket.{time.monotonic_ns():020d}.{_mask(chips):x}.{secrets.token_hex(4)}"
    return lock.create(directory, name, holder)


def ahead(
    directory: Path,
    machine: str,
    chips: Collection[int],
    *,
    own: Collection[str],
    ticket: str = "",
    kept: Collection[int] = (),
) -> list[str]:
    """Return the tickets of others that want some of ``chips`` and were drawn before ``ticket``, first drawn first.

    Without a ticket every other one comes first. Those that want some of what the asker has ``kept`` until it ends
    do not: they wait for its end in any case, and it would wait for theirs.
    """
    wanted, barred = _mask(chips), _mask(kept)
    return [
        name
        for name, mask in sorted(_tickets(directory, machine))
        if mask & wanted
        and not mask & barred
        and name not in own
        and (not ticket or name < ticket)
        and _is_live(directory, name)
    ]


def leave(directory: Path, ticket: Lock) -> None:
    """Give up a place in the queue."""
    with suppress(OSError):
        (directory / ticket.name).unlink()
    ticket.close()


def _tickets(directory: Path, machine: str) -> Iterator[tuple[str, int]]:
    prefix = f"{machine}.ticket."
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        raise InfraError(f"{directory}: cannot read the queue for chips: {error.strerror}") from error
    for name in names:
        if name.startswith(prefix):
            with suppress(ValueError):
                _, mask, _ = name.removeprefix(prefix).split(".")
                yield name, int(mask, 16)


def _is_live(directory: Path, name: str) -> bool:
    if lock.is_held(directory, name):
        return True
    # Its owner has died. Where it was another user, only that user may remove it.
    with suppress(OSError):
        (directory / name).unlink()
    return False


def _mask(chips: Collection[int]) -> int:
    return sum(1 << chip for chip in set(chips))

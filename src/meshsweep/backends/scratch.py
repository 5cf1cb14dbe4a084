"""Find a place on disk that no other living process has: for kernels, which stay there for the next run."""

from __future__ import annotations

import os
import platform
from itertools import count
from pathlib import Path

from meshsweep.leases import lock
from meshsweep.leases.lock import Lock
from meshsweep.leases.names import compact, file_name
from meshsweep.planning.slots import Slot

__all__ = ["claim"]

#: Held until this process has died: two that build the same kernel in one cache get in each other's way.
_held: list[Lock] = []


def claim(environment: str, slot: Slot | None) -> Path:
    """Return a folder for this process alone: what earlier ones kept there for the same chips is still there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # Homes are shared between hosts, locks and chips are not.
    folder = home / "meshsweep" / environment / platform.node()
    folder.mkdir(parents=True, exist_ok=True)
    for number in count():
        name = _chips(slot) + (f".{number}" if number else "")
        held = lock.attempt(folder, f"{name}.lock", private=False)
        if held is not None:
            _held.append(held)
            (folder / name).mkdir(exist_ok=True)
            return folder / name
    raise AssertionError


def _chips(slot: Slot | None) -> str:
    # Slots without chips build the same kernels, whatever they are called.
    return f"{file_name(slot.machine)}-{compact(slot.chips)}" if slot is not None and slot.chips else "any"

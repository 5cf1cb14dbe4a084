"""Name the files of a machine's chips, and the chips for people."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from urllib.parse import quote

__all__ = ["compact", "file_name", "listed", "lock_name", "use_name"]


def file_name(machine: str) -> str:
    """Return a machine's name as the first part of a file name, which ends at the first dot."""
    return quote(machine, safe="").replace(".", "%2E")


def lock_name(machine: str, chip: int) -> str:
    """Return the file that a chip is reserved by."""
    return f"{file_name(machine)}.{chip}.lock"


def use_name(machine: str, chip: int) -> str:
    """Return the file that is locked by the process which has a chip open."""
    return f"{file_name(machine)}.{chip}.use"


def compact(chips: Collection[int]) -> str:
    """Return chips as people write them, such as ``0-3,8``."""
    ordered = sorted(set(chips))
    breaks = [index for index, (left, right) in enumerate(pairwise(ordered), start=1) if right != left + 1]
    runs = [ordered[start:end] for start, end in pairwise([0, *breaks, len(ordered)])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs if run)


def listed(machine: str, chips: Collection[int]) -> str:
    """Return chips with their machine, such as ``galaxy chips 0-3,8``."""
    return f"{machine} chip{'s' if len(set(chips)) != 1 else ''} {compact(chips)}"

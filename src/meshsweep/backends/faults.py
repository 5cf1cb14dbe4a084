"""Simulate broken chips: what a file says, emulated and simulated devices obey; hardware never reads it.

``MESHSWEEP_FAULTS`` names a JSON file such as ``{"galaxy": {"3": {"fault": "absent", "resets": 2}}}``: chip 3 of the
machine galaxy does not open until it was reset twice; without ``resets`` it never does. ``fault`` is ``absent`` (an
error when it is opened), ``missing`` (the mesh opens with a chip too few) or ``hang`` (opening does not end). The file
may be replaced while a run is going on; resets are counted in a file beside it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshsweep.errors import UserError

__all__ = ["FAULTS", "VARIABLE", "Fault", "count_reset", "find"]

VARIABLE = "MESHSWEEP_FAULTS"
FAULTS = ("absent", "missing", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a chip, and how many resets cure it; None: no number does."""

    chip: int
    fault: str
    resets: int | None


def find(environ: Mapping[str, str], machine: str, chips: Collection[int]) -> tuple[Fault, ...]:
    """Return the faults that some of ``chips`` have now; raises UserError where the file is wrong."""
    path = _path(environ)
    if path is None:
        return ()
    done = _resets(path, machine)
    return tuple(
        fault
        for fault in _read(path, machine)
        if fault.chip in chips and (fault.resets is None or done[fault.chip] < fault.resets)
    )


def count_reset(environ: Mapping[str, str], machine: str, chips: Collection[int]) -> None:
    """Note that chips were reset."""
    path = _path(environ)
    if path is not None:
        with _log(path).open("a", encoding="utf-8") as log:
            log.write("".join(f"{machine} {chip}\n" for chip in sorted(chips)))


def _path(environ: Mapping[str, str]) -> Path | None:
    given = environ.get(VARIABLE)
    return Path(given) if given else None


def _log(path: Path) -> Path:
    return path.with_name(path.name + ".resets")


def _resets(path: Path, machine: str) -> Counter[int]:
    log = _log(path)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return Counter(int(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == machine)


def _read(path: Path, machine: str) -> list[Fault]:
    try:
        chips = json.loads(path.read_text(encoding="utf-8")).get(machine, {})
        faults = [Fault(chip=int(chip), **{"resets": None, **fault}) for chip, fault in chips.items()]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot read simulated faults: {error}; see meshsweep.backends.faults") from error
    for fault in faults:
        if fault.fault not in FAULTS:
            raise UserError(
                f"{path}: chip {fault.chip}: unknown fault {fault.fault!r}; choose from {', '.join(FAULTS)}"
            )
    return faults

"""Find out in a fresh process whether the chips of a slot are sound, and reset them where they are not.

A mesh that opens in a process of its own, with the right shape and number of chips, is all that counts: exit codes of
reset programs are not looked at.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from meshsweep import backends
from meshsweep.leases import place
from meshsweep.leases.use import Terms
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Mesh
from meshsweep.planning.slots import Slot
from meshsweep.shape import MeshShape
from meshsweep.words import count
from meshsweep.workers.nursery import die_with

__all__ = ["TRIES", "Healthy", "Patient", "Spoiled", "begin", "check", "main", "recover"]

#: How often chips are reset before they are given up.
TRIES = 2

#: With more boards that do not open something else is wrong; each may take as long as a probe may.
_CULPRITS = 2

#: Before the verdict, since ttnn writes to standard output what it likes.
_MARK = "meshsweep-probe:"
#: How long a killed process may take to be gone.
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """A mesh opened on the chips as it should."""

    resets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """Which chips cannot be used, and why; without any, it cannot be told which, and none can."""

    reason: str
    chips: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A slot that is to be looked at: its environment, machine and mesh, and the terms of its lease."""

    environment: Environment
    machine: Machine
    slot: Slot
    mesh: Mesh
    terms: Terms | None


def begin(patient: Patient, done: Callable[[Healthy | Spoiled], None], *, tries: int = TRIES) -> None:
    """Have ``recover`` run in a thread, which then calls ``done``."""
    threading.Thread(target=lambda: done(_recover(patient, tries)), name="meshsweep-probe", daemon=True).start()


def _recover(patient: Patient, tries: int) -> Healthy | Spoiled:
    try:
        return recover(patient, tries=tries)
    except Exception as error:  # noqa: BLE001 - who waits for the verdict must get one
        return Spoiled(reason=f"cannot be examined: {_line(error)}")


def recover(patient: Patient, *, tries: int = TRIES) -> Healthy | Spoiled:
    """Look at chips, and reset them at most ``tries`` times until they are sound; this takes seconds to minutes."""
    backend = backends.get(patient.environment)
    if not patient.slot.chips or backend.probes_with is None:
        return Healthy()
    for resets in range(tries + 1):
        complaint = check(patient, backend.probes_with, deadline_s=backend.probe_deadline_s)
        if complaint is None:
            return Healthy(resets=resets)
        if resets == tries or not _reset(patient, backend):
            break
    ending = f"even after {count(resets, 'reset')}" if resets else "and cannot be reset"
    return Spoiled(reason=f"{complaint}, {ending}", chips=_culprits(patient, backend))


def _culprits(patient: Patient, backend: backends.Backend) -> frozenset[int]:
    """Return the chips of boards that do not open by themselves either; none where it lies between them, or in many."""
    assert backend.probes_with is not None
    machine, chips = patient.machine, set(patient.slot.chips)
    boards = sorted({tuple(sorted(machine.leased_with([chip]))) for chip in chips})
    found: list[tuple[int, ...]] = []
    for board in boards if len(boards) > 1 else ():
        alone = _on_board(patient, tuple(chip for chip in board if chip in chips))
        if check(alone, backend.probes_with, deadline_s=backend.probe_deadline_s) is not None:
            found.append(board)
        if len(found) > _CULPRITS:
            return frozenset()
    return frozenset(chain.from_iterable(found))


def _on_board(patient: Patient, chips: tuple[int, ...]) -> Patient:
    shape = MeshShape(rows=1, cols=len(chips))
    fabric = patient.mesh.fabric if shape.devices > 1 else None
    mesh = replace(patient.mesh, name=str(shape), shape=shape, fabric=fabric)
    return replace(patient, slot=replace(patient.slot, chips=chips, mesh=mesh.name), mesh=mesh)


def check(patient: Patient, backend: str, *, deadline_s: float) -> str | None:
    """Return why the slot's mesh does not open as it should through a backend, in a fresh process; None: it does."""
    request = replace(patient, environment=replace(patient.environment, backend=backend))
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(pickle.dumps(request), timeout=deadline_s)
    except subprocess.TimeoutExpired:
        return f"mesh {patient.mesh.name} did not open within {deadline_s:g} s{_end(process)}"
    for line in output.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            complaint: str | None = json.loads(line.removeprefix(_MARK))
            return complaint
    return f"the probe of mesh {patient.mesh.name} ended with code {process.returncode} and no word"


def _end(process: subprocess.Popen[bytes]) -> str:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        return f", and process {process.pid} cannot be killed"
    return ""


def _reset(patient: Patient, backend: backends.Backend) -> bool:
    if patient.terms is None:
        return backend.reset(patient.slot, patient.machine, ())
    held = patient.terms.use(log=place.log(os.environ))
    try:
        return backend.reset(patient.slot, patient.machine, held.files())
    finally:
        held.release()


def main() -> None:
    """Open the mesh that standard input asks for, and print what is wrong with it."""
    die_with(os.getppid())
    request: Patient = pickle.load(sys.stdin.buffer)  # noqa: S301 - from this program's own controller
    print(f"\n{_MARK}{json.dumps(_answer(request))}", flush=True)  # noqa: T201 - this is how it answers


def _answer(patient: Patient) -> str | None:
    held = None
    try:
        if patient.terms is not None:
            held = patient.terms.use(log=place.log(os.environ))
        backend = backends.get(patient.environment)
        backend.activate(patient.slot, [patient.mesh], patient.machine)
        device = backend.open(patient.mesh)
        complaint = backends.mismatch(backend, device, patient.mesh)
        backend.close(device)
    except Exception as error:  # noqa: BLE001 - whatever keeps the mesh from opening
        return f"mesh {patient.mesh.name} did not open: {_line(error)}"
    finally:
        if held is not None:
            held.release()
    return complaint


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    main()

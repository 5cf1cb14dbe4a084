"""Turn cells and a machine into a plan: what a run does, on what, with how many workers and how much memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsweep.cell import Cell
from meshsweep.errors import InfraError, SelectionError
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix
from meshsweep.planning.slots import Slot, most, whole
from meshsweep.selection import Expansion, Selection

__all__ = ["Plan", "Wave", "make", "read", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Cells that one pytest session runs, and how many workers it may have at the same time.

    ``alone`` is the slot of a session without workers.
    """

    name: str
    workers: int
    alone: Slot
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do: environment, host, tier, cells, and what was left out.

    ``memory_bytes`` is what its tests may claim of the host's memory together; None: no bound.
    """

    environment: str
    host: Machine
    tier: str
    waves: tuple[Wave, ...]
    included: tuple[tuple[Cell, str], ...]
    excluded: tuple[tuple[Cell, str], ...]
    memory_bytes: int | None = None

    @property
    def machine(self) -> str:
        """The name of the host."""
        return self.host.name

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, in order."""
        return tuple(cell for wave in self.waves for cell in wave.cells)


def make(
    matrix: Matrix, selection: Selection, expansion: Expansion, *, workers: int, memory_bytes: int | None = None
) -> Plan:
    """Return the plan of an expansion on the selected machine, all of it in one session.

    Raises SelectionError for meshes that fit no place of the machine, and for scales that need
    more memory than there is.
    """
    machine = matrix.machines[selection.machine]
    meshes = list(dict.fromkeys(cell.mesh for cell in expansion.cells))
    _check(matrix, machine, expansion.cells, memory_bytes)
    if machine.shape is not None:
        workers = min(workers, max(most(machine, matrix.meshes[mesh].shape) for mesh in meshes))
    wave = Wave(name="wave-0", workers=workers, alone=whole(machine), cells=expansion.cells)
    return Plan(
        environment=selection.environment,
        host=machine,
        tier=selection.tier,
        waves=(wave,),
        included=expansion.included,
        excluded=expansion.excluded,
        memory_bytes=memory_bytes,
    )


def _check(matrix: Matrix, machine: Machine, cells: Sequence[Cell], memory_bytes: int | None) -> None:
    shapes = dict.fromkeys(matrix.meshes[cell.mesh].shape for cell in cells)
    mistakes = [
        f"mesh {shape} ({shape.devices} devices) does not fit machine {machine.name!r} "
        f"(system mesh {machine.shape}); choose another --machine or a smaller mesh"
        for shape in shapes
        if machine.shape is not None and not machine.placements(shape)
    ]
    scales = dict.fromkeys(cell.scale for cell in cells)
    mistakes += [
        f"scale {name} claims {matrix.scales[name].memory_bytes / 1e9:.1f} GB of host memory, the budget is "
        f"{memory_bytes / 1e9:.1f} GB; leave it out, or raise --memory"
        for name in scales
        if memory_bytes is not None and matrix.scales[name].memory_bytes > memory_bytes
    ]
    if mistakes:
        raise SelectionError("\n".join(mistakes))


def write(plan: Plan, path: Path) -> None:
    """Write a plan as JSON. Raises InfraError where the disk refuses."""
    data = {
        "environment": plan.environment,
        "machine": plan.host.to_json(),
        "tier": plan.tier,
        "memory_bytes": plan.memory_bytes,
        "waves": [
            {
                "name": wave.name,
                "workers": wave.workers,
                "alone": wave.alone.to_json(),
                "cells": [str(cell) for cell in wave.cells],
            }
            for wave in plan.waves
        ],
        "included": _rows(plan.included),
        "excluded": _rows(plan.excluded),
    }
    try:
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InfraError(f"{path}: cannot write the plan: {error.strerror}; nothing has run yet: make room") from error


def read(path: Path) -> Plan:
    """Return the plan that ``write`` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Plan(
        environment=data["environment"],
        host=Machine.from_json(data["machine"]),
        tier=data["tier"],
        memory_bytes=data["memory_bytes"],
        waves=tuple(
            Wave(
                name=wave["name"],
                workers=wave["workers"],
                alone=Slot.from_json(wave["alone"]),
                cells=tuple(Cell.parse(cell) for cell in wave["cells"]),
            )
            for wave in data["waves"]
        ),
        included=tuple((Cell.parse(row["cell"]), row["reason"]) for row in data["included"]),
        excluded=tuple((Cell.parse(row["cell"]), row["reason"]) for row in data["excluded"]),
    )


def _rows(reasons: Sequence[tuple[Cell, str]]) -> list[dict[str, str]]:
    return [{"cell": str(cell), "reason": reason} for cell, reason in reasons]

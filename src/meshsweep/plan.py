"""Turn cells and a machine into a plan: waves of slots that are held at the same time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsweep.cell import Cell
from meshsweep.machines import Machine
from meshsweep.matrix import Matrix
from meshsweep.selection import Expansion, Selection
from meshsweep.slots import Slot, slots_for

__all__ = ["Plan", "Wave", "make", "read", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Slots that are held at the same time, and the cells that they run."""

    name: str
    slots: tuple[Slot, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do: environment, machine, waves in order, and what was left out."""

    environment: str
    machine: str
    tier: str
    waves: tuple[Wave, ...]
    included: tuple[tuple[Cell, str], ...]
    excluded: tuple[tuple[Cell, str], ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of every wave, in order."""
        return tuple(cell for wave in self.waves for cell in wave.cells)


def make(matrix: Matrix, selection: Selection, expansion: Expansion, *, workers: int) -> Plan:
    """Return the plan of an expansion on the selected machine.

    A virtual machine runs all cells in one wave; a real one cuts itself anew for each
    mesh, so each mesh is a wave. Raises SelectionError for a mesh that fits no slot.
    """
    machine = matrix.machines[selection.machine]
    waves = [
        Wave(name=f"wave-{number}", slots=_slots(matrix, machine, cells, workers), cells=cells)
        for number, cells in enumerate(_batches(machine, expansion.cells))
    ]
    return Plan(
        environment=selection.environment,
        machine=machine.name,
        tier=selection.tier,
        waves=tuple(waves),
        included=expansion.included,
        excluded=expansion.excluded,
    )


def _batches(machine: Machine, cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    if machine.shape is None:
        return [tuple(cells)]
    by_mesh: dict[str, list[Cell]] = {}
    for cell in cells:
        by_mesh.setdefault(cell.mesh, []).append(cell)
    return [tuple(batch) for batch in by_mesh.values()]


def _slots(matrix: Matrix, machine: Machine, cells: Sequence[Cell], workers: int) -> tuple[Slot, ...]:
    return slots_for(machine, matrix.meshes[cells[0].mesh].shape, limit=workers)


def write(plan: Plan, path: Path) -> None:
    """Write a plan as JSON."""
    data = {
        "environment": plan.environment,
        "machine": plan.machine,
        "tier": plan.tier,
        "waves": [
            {
                "name": wave.name,
                "slots": [slot.to_json() for slot in wave.slots],
                "cells": [str(cell) for cell in wave.cells],
            }
            for wave in plan.waves
        ],
        "included": _rows(plan.included),
        "excluded": _rows(plan.excluded),
    }
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Plan:
    """Return the plan that ``write`` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Plan(
        environment=data["environment"],
        machine=data["machine"],
        tier=data["tier"],
        waves=tuple(
            Wave(
                name=wave["name"],
                slots=tuple(Slot.from_json(slot) for slot in wave["slots"]),
                cells=tuple(Cell.parse(cell) for cell in wave["cells"]),
            )
            for wave in data["waves"]
        ),
        included=tuple((Cell.parse(row["cell"]), row["reason"]) for row in data["included"]),
        excluded=tuple((Cell.parse(row["cell"]), row["reason"]) for row in data["excluded"]),
    )


def _rows(reasons: Sequence[tuple[Cell, str]]) -> list[dict[str, str]]:
    return [{"cell": str(cell), "reason": reason} for cell, reason in reasons]

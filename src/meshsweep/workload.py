"""Turn collected tests into what a dispatch is given: mesh, cell, expected time and memory of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from meshsweep import history
from meshsweep.cell import Cell
from meshsweep.dispatch import Dispatch, Task, best
from meshsweep.ledger import NO_CELL
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Matrix

__all__ = ["dispatch", "tasks"]


def tasks(
    tests: Sequence[tuple[str, str]],
    matrix: Matrix,
    environment: Environment,
    times: history.History,
    *,
    done: Collection[str] = (),
) -> list[Task]:
    """Return a task for each test and its cell; those that are ``done`` keep their place in the numbering."""
    return [
        _task(index, test, cell, matrix, history.expected_s(times, environment.name, test))
        for index, (test, cell) in enumerate(tests)
        if test not in done
    ]


def dispatch(
    machine: Machine,
    matrix: Matrix,
    environment: Environment,
    found: Sequence[Task],
    *,
    workers: int | None,
    memory_bytes: int | None,
) -> Dispatch:
    """Return the dispatch of these tasks that is done first on paper."""
    shapes = {mesh.name: mesh.shape for mesh in matrix.meshes.values()}
    return best(machine, shapes, found, workers=workers, memory_bytes=memory_bytes, open_s=environment.open_s)


def _task(index: int, test: str, cell: str, matrix: Matrix, expected_s: float | None) -> Task:
    if cell == NO_CELL:
        return Task(index=index, group=cell, mesh="", expected_s=expected_s)
    axes = Cell.parse(cell)
    memory_bytes = matrix.scales[axes.scale].memory_bytes
    return Task(index=index, group=cell, mesh=axes.mesh, expected_s=expected_s, memory_bytes=memory_bytes)

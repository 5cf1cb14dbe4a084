"""Turn collected tests into what a dispatch is given: mesh, cell, expected time and memory of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from meshsweep.cell import Cell
from meshsweep.dispatch import Dispatch, Task, best
from meshsweep.machines import Machine
from meshsweep.matrix import Environment, Matrix
from meshsweep.results import history
from meshsweep.results.ledger import NO_CELL

__all__ = ["dispatch", "tasks"]

#: Where tests take at most so long a worker knows its next one before it asks: asking takes half a millisecond.
_AHEAD_S = 0.05


def tasks(
    tests: Sequence[tuple[str, str]],
    matrix: Matrix,
    environment: Environment,
    times: history.History,
    *,
    done: Collection[str] = (),
) -> list[Task]:
    """Return a task for each test and its cell; those that are ``done`` keep their place in the numbering."""
    claims = {cell: _claim(cell, matrix) for cell in {cell for _, cell in tests}}
    return [
        Task(
            index=index,
            group=cell,
            mesh=claims[cell][0],
            expected_s=history.expected_s(times, environment.name, test),
            memory_bytes=claims[cell][1],
        )
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
    offers: bool = True,
) -> Dispatch:
    """Return the dispatch of these tasks that is done first on paper; ``offers``: workers begin short ones unasked."""
    shapes = {mesh.name: mesh.shape for mesh in matrix.meshes.values()}
    return best(
        machine,
        shapes,
        found,
        workers=workers,
        memory_bytes=memory_bytes,
        open_s=environment.open_s,
        ahead_s=_AHEAD_S if offers else 0.0,
    )


def _claim(cell: str, matrix: Matrix) -> tuple[str, int]:
    """Return the mesh of a cell, empty where it has none, and the bytes of host memory that it claims."""
    if cell == NO_CELL:
        return "", 0
    axes = Cell.parse(cell)
    return axes.mesh, matrix.scales[axes.scale].memory_bytes

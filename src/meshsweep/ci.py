"""Export a plan as the job list of a CI system: one job per mesh."""

from __future__ import annotations

import json

from meshsweep.cell import Cell
from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.planning.plan import Plan

__all__ = ["GITHUB_JOBS", "github"]

#: GitHub Actions refuses a matrix of more jobs.
GITHUB_JOBS = 256


def github(matrix: Matrix, made: Plan) -> str:
    """Return one line of JSON for ``strategy.matrix``, and what a last job must find.

    Raises SelectionError above GitHub's limit of 256 jobs, and for a host without labels.
    """
    machine, tier = made.host, matrix.tiers[made.tier]
    if not machine.runner:
        raise SelectionError(f"machine {machine.name!r} has no CI labels; name a machine of matrix/machines.toml")
    by_mesh: dict[str, list[Cell]] = {}
    for cell in made.cells:
        by_mesh.setdefault(cell.mesh, []).append(cell)
    if len(by_mesh) > GITHUB_JOBS:
        raise SelectionError(f"{len(by_mesh)} jobs: GitHub Actions takes {GITHUB_JOBS}; select fewer meshes")
    jobs = [
        {
            "mesh": mesh,
            "session": f"mesh_{mesh}",
            "runner": list(machine.runner),
            "arguments": " ".join(_arguments(made, cells)),
            "cells": len(cells),
            "timeout_minutes": tier.timeout_minutes,
        }
        for mesh, cells in by_mesh.items()
    ]
    expected = [str(cell) for cell in made.cells]
    return json.dumps({"matrix": {"include": jobs}, "expect": {"environment": made.environment, "cells": expected}})


def _arguments(made: Plan, cells: list[Cell]) -> list[str]:
    """Return the options with which a job's session runs exactly its cells."""
    # Cells, not axes: named axes would multiply out where a rule has added or taken cells.
    named = [argument for cell in cells for argument in ("--cell", str(cell))]
    return ["--tier", made.tier, "--env", made.environment, "--machine", made.machine, *named]

"""The job list for GitHub Actions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshsweep import ci
from meshsweep.cell import Cell
from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.planning import plan
from meshsweep.selection import Selection, expand

from .project import Project

RULES = """
    [[include]]
    mesh = "4x4"
    dtype = "bfloat8_b"
    scale = "big"
    tier = "nightly"
    reason = "seen broken"
"""

NIGHTLY = Selection(tier="nightly", environment="fake", machine="galaxy")


def exported(matrix: Matrix, selection: Selection) -> dict[str, Any]:
    """Return the job list of a selection."""
    made = plan.make(matrix, selection, expand(matrix, selection), workers=2)
    data: dict[str, Any] = json.loads(ci.github(matrix, made))
    return data


def test_job_carries_what_workflow_needs(declared: Matrix) -> None:
    assert exported(declared, NIGHTLY) == {
        "matrix": {
            "include": [
                {
                    "mesh": "1x8",
                    "session": "mesh_1x8",
                    "runner": ["self-hosted", "galaxy"],
                    "arguments": "--tier nightly --env fake --machine galaxy --cell 1x8-bfloat16-big",
                    "cells": 1,
                    "timeout_minutes": 120,
                }
            ]
        },
        "expect": {"environment": "fake", "cells": ["1x8-bfloat16-big"]},
    }


def test_jobs_come_to_the_same_cells(tmp_path: Path) -> None:
    """A rule's cell must not multiply out into its axes."""
    matrix = Project(tmp_path).matrix(rules=RULES)
    data = exported(matrix, NIGHTLY)
    ran = []
    for job in data["matrix"]["include"]:
        named = tuple(Cell.parse(word) for word in job["arguments"].split() if word.count("-") >= 2 and word[0] != "-")
        ran += expand(matrix, replace(NIGHTLY, meshes=(job["mesh"],), cells=named)).cells

    assert [str(cell) for cell in ran] == data["expect"]["cells"] == ["1x8-bfloat16-big", "4x4-bfloat8_b-big"]


def test_output_is_a_single_line(declared: Matrix) -> None:
    made = plan.make(declared, NIGHTLY, expand(declared, NIGHTLY), workers=2)

    assert "\n" not in ci.github(declared, made)


def test_limit_of_github_is_kept(declared: Matrix) -> None:
    made = plan.make(declared, NIGHTLY, expand(declared, NIGHTLY), workers=2)
    cells = tuple(Cell(mesh=f"1x{number}", dtype="bfloat16", scale="big") for number in range(1, 258))
    large = replace(made, waves=(replace(made.waves[0], cells=cells),))
    with pytest.raises(SelectionError) as caught:
        ci.github(declared, large)

    assert str(caught.value) == "257 jobs: GitHub Actions takes 256; select fewer meshes"

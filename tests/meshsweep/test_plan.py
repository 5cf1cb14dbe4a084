"""Waves of a plan, and the plan as a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep import plan
from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.plan import Plan
from meshsweep.selection import Selection, expand

from .project import Project

RULES = """
    [[include]]
    mesh = "1x8"
    dtype = "bfloat16"
    scale = "big"
    reason = "seen broken"
    [[exclude]]
    mesh = "1x2"
    reason = "broken board: é"
"""


def made(matrix: Matrix, machine: str, *meshes: str, workers: int = 3, **axes: tuple[str, ...]) -> Plan:
    """Return the plan of some meshes in one dtype and scale."""
    axes = {"dtypes": ("bfloat16",), "scales": ("tiny",), **axes}
    chosen = Selection(tier="default", environment="fake", machine=machine, meshes=meshes, **axes)
    return plan.make(matrix, chosen, expand(matrix, chosen), workers=workers)


def test_virtual_machine_runs_one_wave(declared: Matrix) -> None:
    (wave,) = made(declared, "virtual", "1x1", "4x4").waves

    assert (wave.name, len(wave.slots)) == ("wave-0", 3)
    assert [cell.mesh for cell in wave.cells] == ["1x1", "4x4"]


def test_real_machine_runs_wave_per_mesh(declared: Matrix) -> None:
    waves = made(declared, "galaxy", "1x8", "4x4").waves

    assert [(wave.name, len(wave.slots), wave.cells[0].mesh) for wave in waves] == [
        ("wave-0", 3, "1x8"),
        ("wave-1", 2, "4x4"),
    ]


def test_plan_for_small_machine_is_refused(declared: Matrix) -> None:
    with pytest.raises(SelectionError, match=r"mesh 4x4 .* does not fit machine 't3k'"):
        made(declared, "t3k", "1x8", "4x4")


def test_plan_survives_its_file(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=RULES)
    written = made(matrix, "galaxy", "1x8", "1x2", "4x4", scales=())
    plan.write(written, tmp_path / "plan.json")

    assert (len(written.included), len(written.excluded)) == (1, 2)
    assert plan.read(tmp_path / "plan.json") == written


def test_cells_of_all_waves_keep_order(declared: Matrix) -> None:
    written = made(declared, "galaxy", "4x4", "1x1")

    assert [cell.mesh for cell in written.cells] == ["4x4", "1x1"]
    assert replace(written, waves=()).cells == ()

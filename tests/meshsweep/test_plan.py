"""Waves of a plan, and the plan as a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.planning import plan
from meshsweep.planning.plan import Plan
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


def made(
    matrix: Matrix,
    machine: str,
    *meshes: str,
    workers: int = 3,
    memory_bytes: int | None = None,
    **axes: tuple[str, ...],
) -> Plan:
    """Return the plan of some meshes in one dtype and scale."""
    axes = {"dtypes": ("bfloat16",), "scales": ("tiny",), **axes}
    chosen = Selection(tier="default", environment="fake", machine=machine, meshes=meshes, **axes)
    return plan.make(matrix, chosen, expand(matrix, chosen), workers=workers, memory_bytes=memory_bytes)


@pytest.mark.parametrize(
    ("machine", "meshes", "workers"),
    [("virtual", ("1x1", "4x4"), 3), ("galaxy", ("1x8", "4x4"), 3), ("galaxy", ("4x4",), 2), ("t3k", ("1x8",), 1)],
)
def test_plan_is_one_session_with_slots_that_fit(
    declared: Matrix, machine: str, meshes: tuple[str, ...], workers: int
) -> None:
    (wave,) = made(declared, machine, *meshes).waves

    assert (wave.name, wave.workers) == ("wave-0", workers)
    assert [cell.mesh for cell in wave.cells] == list(meshes)


def test_plan_for_small_machine_is_refused(declared: Matrix) -> None:
    with pytest.raises(SelectionError, match=r"mesh 4x4 .* does not fit machine 't3k'"):
        made(declared, "t3k", "1x8", "4x4")


def test_every_mesh_that_does_not_fit_is_named(declared: Matrix) -> None:
    with pytest.raises(SelectionError) as caught:
        made(declared, "n300", "1x8", "1x2", "4x4")

    assert str(caught.value).splitlines() == [
        f"mesh {mesh} does not fit machine 'n300' (system mesh 1x2); choose another --machine or a smaller mesh"
        for mesh in ("1x8 (8 devices)", "4x4 (16 devices)")
    ]


def test_scale_above_memory_budget_is_refused(declared: Matrix) -> None:
    scales = {**declared.scales, "tiny": replace(declared.scales["tiny"], memory_bytes=3_000_000_000)}
    matrix = replace(declared, scales=scales)
    with pytest.raises(SelectionError) as caught:
        made(matrix, "virtual", "1x1", memory_bytes=2_500_000_000)

    assert str(caught.value) == (
        "scale tiny claims 3.0 GB of host memory, the budget is 2.5 GB; leave it out, or raise --memory"
    )
    assert made(matrix, "virtual", "1x1", memory_bytes=3_000_000_000).memory_bytes == 3_000_000_000


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

"""Records of the matrix: rules and floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsweep.cell import Cell
from meshsweep.errors import SelectionError
from meshsweep.matrix import Rule

from .project import Project

CELL = Cell(mesh="1x8", dtype="bfloat8_b", scale="tiny")

FLOORS = """
    [[floor]]
    component = "experts"
    dtype = "bfloat8_b"
    pcc = 0.90
    max_error = 0.1
    rms_error = 0.1
    slope_error = 0.1
    reason = "written by hand"
    [[floor]]
    component = "experts"
    dtype = "bfloat8_b"
    mesh = "1x8"
    pcc = 0.94
    max_error = 0.1
    rms_error = 0.1
    slope_error = 0.1
    reason = "written by hand"
    [[floor]]
    component = "experts"
    dtype = "bfloat8_b"
    scale = "tiny"
    pcc = 0.92
    max_error = 0.1
    rms_error = 0.1
    slope_error = 0.1
    reason = "written by hand"
"""


def rule(**axes: tuple[str, ...]) -> Rule:
    """Return a row that names some axes."""
    empty: dict[str, tuple[str, ...]] = dict.fromkeys(("meshes", "dtypes", "scales", "environments", "tiers"), ())
    return Rule(**{**empty, **axes}, reason="because")


@pytest.mark.parametrize(
    ("axes", "holds"),
    [
        ({}, True),
        ({"meshes": ("1x8", "4x4")}, True),
        ({"meshes": ("4x4",)}, False),
        ({"dtypes": ("bfloat16",)}, False),
        ({"scales": ("big",)}, False),
        ({"environments": ("silicon",)}, False),
        ({"tiers": ("nightly",)}, False),
        ({"meshes": ("1x8",), "scales": ("tiny",), "environments": ("fake",), "tiers": ("default",)}, True),
    ],
)
def test_row_matches_axes_it_names(axes: dict[str, tuple[str, ...]], holds: object) -> None:
    assert rule(**axes).matches(CELL, environment="fake", tier="default") is holds


@pytest.mark.parametrize(
    ("mesh", "scale", "pcc"), [("1x1", "big", 0.90), ("1x1", "tiny", 0.92), ("1x8", "big", 0.94), ("1x8", "tiny", 0.94)]
)
def test_most_specific_floor_counts(tmp_path: Path, mesh: str, scale: str, pcc: float) -> None:
    matrix = Project(tmp_path).matrix(floors=FLOORS)

    assert matrix.floor("experts", Cell(mesh=mesh, dtype="bfloat8_b", scale=scale)).pcc == pcc


@pytest.mark.parametrize(("floors", "known"), [(FLOORS, "experts"), ("", "none")])
def test_missing_floor_is_an_error(tmp_path: Path, floors: str, known: str) -> None:
    matrix = Project(tmp_path).matrix(floors=floors)
    with pytest.raises(SelectionError) as caught:
        matrix.floor("router", CELL)

    assert str(caught.value) == (
        "matrix/floors.toml: no floor for component 'router' in bfloat8_b; measure it with `meshsweep run --measure`, "
        f"then `meshsweep thresholds --write` (components with one: {known})"
    )

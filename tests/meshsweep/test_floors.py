"""Floors written as TOML and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshsweep import loader
from meshsweep.errors import InfraError
from meshsweep.matrix import Floor
from meshsweep.numerics import floors

from .project import Project

ROOT = Path(__file__).parents[2]

ROWS = (
    Floor(
        component="mlp",
        dtype="bfloat16",
        scale=None,
        mesh=None,
        pcc=0.98,
        max_error=0.15,
        rms_error=0.0,
        slope_error=0.0003,
        measured={"pcc": 0.99, "max_error": 0.1, "rms_error": 0.0, "slope_error": 0.0002},
        measured_on={"meshes": 2, "scales": 1, "samples": 12},
    ),
    Floor(
        component="generation",
        dtype="bfloat8_b",
        scale="tiny",
        mesh="1x8",
        top1=0.49,
        top5=0.9666,
        measured={"top1": 0.9, "top5": 1.0},
        reason='a near tie, "seen" twice: größer',
    ),
)

TEXT = """
[[floor]]
component = "generation"
dtype = "bfloat8_b"
scale = "tiny"
mesh = "1x8"
top1 = 0.49
top5 = 0.9666
measured_top1 = 0.9
measured_top5 = 1.0
reason = "a near tie, \\"seen\\" twice: größer"

[[floor]]
component = "mlp"
dtype = "bfloat16"
pcc = 0.98
max_error = 0.15
rms_error = 0.0
slope_error = 0.0003
measured_pcc = 0.99
measured_max_error = 0.1
measured_rms_error = 0.0
measured_slope_error = 0.0002
measured_on = { meshes = 2, scales = 1, samples = 12 }
"""


def test_rows_are_written_sorted_under_the_rules() -> None:
    header, _, rows = floors.render(ROWS).partition("\n[[floor]]")

    assert all(line.startswith("#") for line in header.splitlines())
    assert "\n[[floor]]" + rows == TEXT


def test_written_rows_are_read_again(tmp_path: Path) -> None:
    directory = Project(tmp_path).declare()
    floors.write(directory / "floors.toml", ROWS)

    assert set(map(repr, loader.load(directory).floors)) == set(map(repr, ROWS))
    assert [path.name for path in directory.glob("floors*")] == ["floors.toml"]


def test_disk_that_refuses_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "none" / "floors.toml"

    with pytest.raises(InfraError, match=r"floors\.toml: cannot write the floors: No such file or directory"):
        floors.write(path, ROWS)


def test_floors_of_this_project_are_as_they_are_written() -> None:
    """Nobody edits the file by hand: it is what its own rows give."""
    declared = loader.load(ROOT / "matrix").floors

    assert (ROOT / "matrix/floors.toml").read_text(encoding="utf-8") == floors.render(declared)

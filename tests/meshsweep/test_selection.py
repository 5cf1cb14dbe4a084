"""Tiers, filters and rules turned into cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep.cell import Cell
from meshsweep.errors import SelectionError
from meshsweep.matrix import Matrix
from meshsweep.selection import Selection, expand

from .project import Project

DEFAULT = Selection(tier="default", environment="fake", machine="virtual")
NIGHTLY = replace(DEFAULT, tier="nightly")

INCLUDE = """
    [[include]]
    tier = "default"
    mesh = "1x8"
    dtype = "bfloat8_b"
    scale = "big"
    reason = "seen broken"
"""

EXCLUDE = """
    [[exclude]]
    mesh = ["1x1", "1x2"]
    dtype = "bfloat16"
    reason = "too wide"
    [[exclude]]
    mesh = "1x1"
    reason = "too small"
    [[exclude]]
    environment = "silicon"
    reason = "no hardware"
"""


def ids(matrix: Matrix, selection: Selection) -> list[str]:
    """Return the cells of a selection as text."""
    return [str(cell) for cell in expand(matrix, selection).cells]


def test_tier_is_a_product_in_declared_order(declared: Matrix) -> None:
    cells = ids(declared, DEFAULT)

    assert cells[:5] == [
        "1x1-bfloat16-tiny",
        "1x1-bfloat16-tiny-padded",
        "1x1-bfloat8_b-tiny",
        "1x1-bfloat8_b-tiny-padded",
        "1x2-bfloat16-tiny",
    ]
    assert len(cells) == 4 * 2 * 2


def test_filter_replaces_axis_of_tier(declared: Matrix) -> None:
    assert ids(declared, replace(NIGHTLY, scales=("tiny",))) == ["1x8-bfloat16-tiny"]
    assert ids(declared, replace(NIGHTLY, meshes=("4x4", "1x1"))) == ["4x4-bfloat16-big", "1x1-bfloat16-big"]
    assert ids(declared, replace(NIGHTLY, dtypes=("bfloat8_b",))) == ["1x8-bfloat8_b-big"]


def test_repeated_filter_counts_once(declared: Matrix) -> None:
    assert ids(declared, replace(NIGHTLY, meshes=("1x1", "1x1"))) == ["1x1-bfloat16-big"]


def test_include_adds_a_cell(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=INCLUDE)

    assert ids(matrix, DEFAULT)[-1] == "1x8-bfloat8_b-big"
    assert ids(matrix, NIGHTLY) == ["1x8-bfloat16-big"]


def test_filters_hold_for_includes_too(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=INCLUDE)

    assert "1x8-bfloat8_b-big" in ids(matrix, replace(DEFAULT, meshes=("1x8",)))
    assert "1x8-bfloat8_b-big" not in ids(matrix, replace(DEFAULT, meshes=("1x1",)))
    assert "1x8-bfloat8_b-big" not in ids(matrix, replace(DEFAULT, scales=("tiny",)))


def test_reason_of_include_is_kept(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=INCLUDE)
    cell = Cell(mesh="1x8", dtype="bfloat8_b", scale="big")

    assert expand(matrix, DEFAULT).included == ((cell, "seen broken"),)
    assert expand(matrix, replace(DEFAULT, scales=("big",))).included == ()


def test_named_cells_take_place_of_tier(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=INCLUDE + EXCLUDE)
    named = tuple(Cell.parse(f"{mesh}-bfloat16-big") for mesh in ("1x8", "4x4", "1x1"))
    expansion = expand(matrix, replace(DEFAULT, cells=named, meshes=("1x8", "1x1")))

    assert [str(cell) for cell in expansion.cells] == ["1x8-bfloat16-big"]
    assert [str(cell) for cell, _ in expansion.excluded] == ["1x1-bfloat16-big"]


def test_cells_outside_filters_leave_nothing(declared: Matrix) -> None:
    with pytest.raises(SelectionError) as caught:
        expand(declared, replace(DEFAULT, cells=(Cell.parse("1x8-bfloat16-big"),), meshes=("4x4",)))

    assert str(caught.value) == "no cell is left: the filters and the named cells have nothing in common"


def test_exclude_takes_cells_with_reason(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=EXCLUDE)
    expansion = expand(matrix, replace(DEFAULT, meshes=("1x1", "1x2"), scales=("tiny",)))

    assert [str(cell) for cell in expansion.cells] == ["1x2-bfloat8_b-tiny"]
    assert [(str(cell), reason) for cell, reason in expansion.excluded] == [
        ("1x1-bfloat16-tiny", "too wide"),
        ("1x1-bfloat8_b-tiny", "too small"),
        ("1x2-bfloat16-tiny", "too wide"),
    ]


def test_exclude_beats_include(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=INCLUDE + '    [[exclude]]\n    scale = "big"\n    reason = "slow"\n')
    expansion = expand(matrix, DEFAULT)

    assert expansion.excluded == ((Cell(mesh="1x8", dtype="bfloat8_b", scale="big"), "slow"),)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    matrix = Project(tmp_path).matrix(rules=EXCLUDE)
    with pytest.raises(SelectionError) as caught:
        expand(matrix, replace(NIGHTLY, environment="silicon"))

    assert str(caught.value) == ("every selected cell is excluded by matrix/rules.toml: 1x8-bfloat16-big: no hardware")


def test_unknown_names_come_all_at_once(declared: Matrix) -> None:
    wrong = Selection(
        tier="nightli",
        environment="fak",
        machine="t3kk",
        meshes=("1x9", "1x8"),
        cells=(Cell.parse("1x9-bfloat16-large"),),
        dtypes=("bf16",),
        scales=("tinny",),
    )
    with pytest.raises(SelectionError) as caught:
        expand(declared, wrong)

    assert str(caught.value).splitlines() == [
        "unknown mesh '1x9': not in matrix/meshes.toml; did you mean 1x8 or 1x2? choose from 1x1, 1x2, 1x8, 4x4",
        "unknown dtype 'bf16': not in matrix/dtypes.toml; did you mean bfloat16? choose from bfloat16, bfloat8_b",
        (
            "unknown scale 'tinny': not in matrix/scales.toml; did you mean tiny or tiny-padded? "
            "choose from tiny, tiny-padded, big"
        ),
        "unknown scale 'large': not in matrix/scales.toml; choose from tiny, tiny-padded, big",
        "unknown environment 'fak': not in matrix/environments.toml; did you mean fake? choose from fake, silicon",
        "unknown machine 't3kk': not in matrix/machines.toml; did you mean t3k? choose from virtual, n300, t3k, galaxy",
        "unknown tier 'nightli': not in matrix/tiers.toml; did you mean nightly? choose from default, nightly",
    ]

"""Machines: where meshes fit, what is leased together, what a process may see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep import loader
from meshsweep.machines import Machine
from meshsweep.shape import MeshShape

from .machines import host

REAL = loader.load(Path(__file__).parents[2] / "matrix").machines


def places(machine: Machine, mesh: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return kind and chips of every place of a mesh."""
    return [(place.kind, place.chips) for place in machine.places(MeshShape.parse(mesh))]


def test_aligned_rectangles_come_before_others() -> None:
    assert places(host("1x4"), "1x2") == [("rectangle", (0, 1)), ("rectangle", (2, 3)), ("rectangle", (1, 2))]


def test_chips_of_turned_place_are_row_major_in_mesh() -> None:
    assert places(host("2x2"), "1x2")[2:] == [("turned", (0, 2)), ("turned", (1, 3))]
    assert places(host("3x2"), "2x3") == [("turned", (0, 2, 4, 1, 3, 5))]


def test_ring_goes_round_a_rectangle() -> None:
    assert places(host("2x4", rings=("1x8",)), "1x8") == [("ring", (0, 1, 2, 3, 7, 6, 5, 4))]
    assert places(host("2x4"), "1x8") == []


def test_missing_link_parts_rectangles() -> None:
    whole = host("2x2")
    machine = replace(whole, links=whole.links - {(0, 1)})

    assert [chips for _, chips in places(machine, "1x2")] == [(2, 3), (0, 2), (1, 3)]
    assert places(machine, "2x2") == []


def test_boards_with_a_hidden_chip_are_leased_whole() -> None:
    assert host("1x4", paired=True).leased_with([2]) == {2, 3}
    assert host("1x4").leased_with([2]) == {2}


def test_visible_are_pcie_chips_by_address_or_index() -> None:
    bus = tuple(f"0000:0{at}:00.0" for at in (3, 2, 1, 0))

    assert host("1x4", paired=True).visible([1, 2]) == ("0", "1")
    assert host("1x4", bus=bus).visible([1, 2]) == ("0000:01:00.0", "0000:02:00.0")


def test_addresses_and_indices_are_never_mixed() -> None:
    machine = host("1x2", bus=("0000:01:00.0", "0000:02:00.0"))
    half = replace(machine, chips=(machine.chips[0], replace(machine.chips[1], bus=None)))

    assert half.visible([0, 1]) == ("0", "1")


@pytest.mark.parametrize(("chips", "needed"), [((0, 1, 2, 3), False), ((0, 1), True), ((0,), False)])
def test_part_of_a_machine_needs_a_graph(chips: tuple[int, ...], *, needed: bool) -> None:
    assert host("2x2").needs_graph(chips) is needed


def test_virtual_machine_has_no_places() -> None:
    assert REAL["virtual"].placements(MeshShape.parse("1x1")) == ()


@pytest.mark.parametrize("machine", REAL.values(), ids=REAL)
def test_declared_machine_survives_json(machine: Machine) -> None:
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


@pytest.mark.parametrize(
    ("name", "chips", "pcie", "boards", "opens"),
    [
        ("n150", 1, 1, 1, {"1x1": 1}),
        ("n300", 2, 1, 1, {"1x1": 2, "1x2": 1}),
        ("n300x2", 4, 2, 2, {"1x2": 4, "2x2": 1, "1x4": 1}),
        ("t3k", 8, 4, 4, {"1x1": 8, "1x4": 5, "1x8": 1, "2x4": 1, "4x4": 0}),
        ("galaxy", 32, 32, 4, {"1x1": 32, "1x8": 26, "4x4": 5, "4x8": 1, "8x4": 1}),
        ("p150", 1, 1, 1, {"1x1": 1}),
        ("p300", 2, 2, 1, {"1x2": 1}),
        ("bh-quietbox", 4, 4, 4, {"1x4": 1, "2x2": 1}),
        ("bh-quietbox2", 4, 4, 2, {"1x4": 1, "2x2": 1}),
        ("bh-loudbox", 8, 8, 8, {"1x8": 1, "4x2": 1}),
        ("bh-galaxy", 32, 32, 4, {"4x8": 1}),
    ],
)
def test_known_host_is_as_in_the_field(name: str, chips: int, pcie: int, boards: int, opens: dict[str, int]) -> None:
    machine = REAL[name]

    assert len(machine.chips) == chips
    assert sum(chip.pcie is not None for chip in machine.chips) == pcie
    assert len({chip.board for chip in machine.chips}) == boards
    assert {mesh: len(machine.placements(MeshShape.parse(mesh))) for mesh in opens} == opens


def test_t3k_leases_are_boards_of_two() -> None:
    machine = REAL["t3k"]

    assert {machine.leased_with([chip.id]) for chip in machine.chips} == {
        frozenset(board) for board in ((0, 4), (1, 5), (2, 6), (3, 7))
    }
    assert machine.visible([4, 5]) == ("0", "1")
    # The ring round the board's own order: the only one that does not hang on silicon.
    assert machine.placements(MeshShape.parse("1x8")) == ((4, 0, 2, 6, 7, 3, 1, 5),)

"""Descriptions of clusters: what holds for any that ttnn is to accept."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from meshsweep.backends.cluster import ARCHITECTURES, describe
from meshsweep.shape import MeshShape

SHAPES = ["1x1", "1x2", "1x4", "1x8", "2x4", "4x4", "4x8"]


def section(text: str, name: str) -> list[str]:
    """Return the lines below a key, up to the next one."""
    found = re.search(rf"^{name}:[^\n]*\n((?:[ ].*\n)*)", text, re.MULTILINE)
    assert found is not None
    return found[1].splitlines()


def ends(text: str) -> list[tuple[int, int]]:
    """Return (chip, channel) of both ends of every link, in pairs."""
    return [(int(chip), int(chan)) for chip, chan in re.findall(r"\{chip: (\d+), chan: (\d+)\}", text)]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("shape", SHAPES)
class TestEveryCluster:
    def test_mesh_has_its_chips(self, arch: str, shape: str) -> None:
        wanted = MeshShape.parse(shape)
        chips = section(describe(wanted, arch=arch), "arch")

        assert len(chips) >= wanted.devices
        assert all(line.endswith(f": {arch}") for line in chips)

    def test_channel_is_used_once(self, arch: str, shape: str) -> None:
        found = ends(describe(MeshShape.parse(shape), arch=arch))

        assert [end for end, number in Counter(found).items() if number > 1] == []

    def test_address_names_one_chip(self, arch: str, shape: str) -> None:
        buses = section(describe(MeshShape.parse(shape), arch=arch), "chip_to_bus_id")

        assert len({line.split(":")[1] for line in buses}) == len(buses)

    def test_chip_is_on_one_board(self, arch: str, shape: str) -> None:
        text = describe(MeshShape.parse(shape), arch=arch)
        on_boards = [line.strip() for line in section(text, "boards") if re.fullmatch(r"\s+- \d+", line)]

        assert sorted(on_boards) == sorted(f"- {chip}" for chip in range(len(section(text, "arch"))))


@pytest.mark.parametrize(("shape", "pairs"), [("1x1", 0), ("1x2", 1), ("2x4", 10), ("4x4", 24), ("4x8", 52)])
def test_wormhole_neighbours_have_four_links(shape: str, pairs: int) -> None:
    found = ends(describe(MeshShape.parse(shape)))
    joined = Counter((a[0], b[0]) for a, b in zip(found[::2], found[1::2], strict=True))

    assert len(joined) == pairs
    assert set(joined.values()) <= {4}


@pytest.mark.parametrize(("shape", "off"), [("1x1", 1), ("1x2", 2), ("2x4", 2), ("4x8", 0)])
def test_wormhole_boards_have_their_own_rows_of_cores(shape: str, off: int) -> None:
    lines = section(describe(MeshShape.parse(shape)), "harvesting")
    masks = [int(line.split(":")[1]) for line in lines if line.strip().startswith("harvest_mask:")]

    assert {mask.bit_count() for mask in masks} == {off}


def test_blackhole_keeps_to_twelve_channels() -> None:
    found = ends(describe(MeshShape.parse("4x8"), arch="blackhole"))

    assert max(channel for _, channel in found) < 12


def test_galaxy_has_four_trays_of_eight() -> None:
    buses = section(describe(MeshShape.parse("4x8")), "chip_to_bus_id")
    places = [int(line.split('"')[1], 16) for line in buses]

    assert Counter(place & 0xF0 for place in places) == {0xC0: 8, 0x00: 8, 0x40: 8, 0x80: 8}
    assert {place & 0x0F for place in places} == set(range(1, 9))

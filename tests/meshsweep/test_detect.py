"""Machines read from cluster descriptors, and from the chips themselves."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from meshsweep.backends import cluster
from meshsweep.errors import InfraError, UserError
from meshsweep.machines import Machine
from meshsweep.machines.detect import detect, is_asked
from meshsweep.machines.layout import arrange
from meshsweep.shape import MeshShape

N300 = """
arch: {0: Wormhole, 1: Wormhole}
chips: {0: [0, 0, 0, 0], 1: [1, 0, 0, 0]}
ethernet_connections: [
  [{chip: 0, chan: 8}, {chip: 1, chan: 0}],
  [{chip: 0, chan: 9}, {chip: 1, chan: 1}],
]
chips_with_mmio: [0: 0]
boards: [[{board_id: 7}, {board_type: n300}, {chips: [0, 1]}]]
"""

ADDRESSES = """
arch: {0: blackhole, 1: blackhole}
ethernet_connections: []
chips_with_mmio: [0: 1, 1: 0]
chip_pci_bdfs:
  0: 0000:41:00.0
  1: 0000:01:00.0
"""


def read(text: str, tmp_path: Path) -> Machine:
    """Return the machine of a descriptor in a file."""
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    return detect(str(path), file=None, environ={})


@pytest.mark.parametrize("arch", ["wormhole_b0", "blackhole"])
@pytest.mark.parametrize("shape", ["1x1", "1x2", "2x2", "2x4", "8x4"])
def test_described_cluster_is_found_again(tmp_path: Path, shape: str, arch: str) -> None:
    grid = MeshShape.parse(shape)
    machine = read(cluster.describe(grid, arch=arch), tmp_path)

    assert machine.shape == MeshShape(rows=min(grid.rows, grid.cols), cols=max(grid.rows, grid.cols))
    assert (machine.name, machine.arch) == ("detected", arch)
    assert len(machine.placements(grid)) == 1
    assert all(chip.pcie == chip.id for chip in machine.chips)


def test_remote_chip_is_found_behind_its_board(tmp_path: Path) -> None:
    machine = read(N300, tmp_path)

    assert [(chip.id, chip.pcie) for chip in machine.chips] == [(0, 0), (1, None)]
    assert machine.leased_with([1]) == {0, 1}
    assert machine.placements(MeshShape.parse("1x2")) == ((0, 1),)


def test_addresses_stay_text_and_order_indices(tmp_path: Path) -> None:
    """YAML takes 0000:41:00.0 for a number in base 60."""
    machine = read(ADDRESSES, tmp_path)

    assert [(chip.id, chip.pcie, chip.bus) for chip in machine.chips] == [
        (0, 1, "0000:41:00.0"),
        (1, 0, "0000:01:00.0"),
    ]


def test_unjoined_chips_open_single_meshes_only(tmp_path: Path) -> None:
    machine = read(ADDRESSES, tmp_path)

    assert len(machine.placements(MeshShape.parse("1x1"))) == 2
    assert machine.placements(MeshShape.parse("1x2")) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch: [", "malformed YAML: "),
        ("- 1", "not a cluster descriptor of UMD: expected a mapping with the key arch"),
        ("arch: {}", "describes no chip; is the driver loaded, and are the devices free to look at?"),
        ("arch: {0: wormhole_b0}", "not a cluster descriptor of UMD: KeyError: 'chips_with_mmio'"),
        (
            "arch: {0: wormhole_b0, 1: blackhole}\nchips_with_mmio: []",
            "chips of blackhole, wormhole_b0; expected all of",
        ),
        ("arch: {0: quasar}\nchips_with_mmio: []", "chips of quasar; expected all of wormhole_b0 or all of blackhole"),
    ],
)
def test_what_is_no_descriptor_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(text, tmp_path)

    assert str(caught.value).startswith(f"{tmp_path / 'cluster.yaml'}: {message}")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: unreadable cluster descriptor: "):
        detect("detect", file=str(tmp_path / "nowhere.yaml"), environ={})


def test_option_goes_before_variable(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(N300, encoding="utf-8")
    environ = {"MESHSWEEP_CLUSTER_DESCRIPTOR": str(tmp_path / "nowhere.yaml")}

    assert detect("detect", file=str(path), environ=environ).shape == MeshShape.parse("1x2")
    with pytest.raises(UserError, match="unreadable"):
        detect("detect", file=None, environ=environ)


def test_live_host_is_asked_through_tt_umd(monkeypatch: pytest.MonkeyPatch) -> None:
    described = SimpleNamespace(serialize_to_file=lambda path: Path(path).write_text(N300, encoding="utf-8"))
    discovery = SimpleNamespace(create_cluster_descriptor=lambda: described)
    monkeypatch.setitem(sys.modules, "tt_umd", SimpleNamespace(TopologyDiscovery=discovery))

    assert detect("detect", file=None, environ={}).about == "2 chips, as described in this host"


def test_missing_tt_umd_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tt_umd", None)
    with pytest.raises(InfraError) as caught:
        detect("detect", file=None, environ={})

    assert str(caught.value) == (
        "--machine detect: asking the chips needs the package tt-umd; install it, name a file with "
        "--cluster-descriptor, or name a machine of matrix/machines.toml"
    )


def test_failure_of_tt_umd_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no heartbeat")

    discovery = SimpleNamespace(create_cluster_descriptor=fail)
    monkeypatch.setitem(sys.modules, "tt_umd", SimpleNamespace(TopologyDiscovery=discovery))
    with pytest.raises(InfraError, match="--machine detect: tt-umd cannot describe this host: no heartbeat"):
        detect("detect", file=None, environ={})


def test_missing_yaml_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(InfraError, match="reading it needs PyYAML; install the package pyyaml"):
        read(N300, tmp_path)


@pytest.mark.parametrize(("machine", "asked"), [("detect", True), ("a/b.yaml", True), ("x.yml", True), ("t3k", False)])
def test_descriptors_are_told_from_names(machine: str, *, asked: bool) -> None:
    assert is_asked(machine) is asked


def test_broken_link_leaves_the_grid_and_takes_what_needs_it(tmp_path: Path) -> None:
    text = cluster.describe(MeshShape.parse("8x4"))
    whole = read(text, tmp_path)
    low, high = sorted(whole.links)[20]
    lines = text.splitlines()
    cut = [
        number
        for number, line in enumerate(lines)
        if line == "  -" and f"chip: {low}," in lines[number + 1] and f"chip: {high}," in lines[number + 2]
    ]
    broken = read(
        "\n".join(line for n, line in enumerate(lines) if not {n, n - 1, n - 2}.intersection(cut)) + "\n", tmp_path
    )

    assert broken.shape == MeshShape.parse("4x8")
    assert broken.links == whole.links - {(low, high)}
    assert broken.placements(MeshShape.parse("4x8")) == ()
    assert len(broken.placements(MeshShape.parse("4x4"))) > 0


@pytest.mark.parametrize(("length", "shape"), [(4, "1x4"), (8, "1x8"), (5, "1x5")])
def test_line_of_chips_is_no_grid(length: int, shape: str) -> None:
    order = [2, 0, 3, 1, 4, 7, 5, 6][:length] if length != 5 else [2, 0, 3, 1, 4]
    links = frozenset((min(pair), max(pair)) for pair in pairwise(order))
    found, placed = arrange(sorted(order), links)

    assert str(found) == shape
    assert list(placed) in (order, order[::-1])

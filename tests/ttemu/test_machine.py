"""The virtual machine comes from TTEMU_MACHINE and bounds what can be opened."""

from __future__ import annotations

import pytest

import ttemu as ttnn
from ttemu import machine


@pytest.mark.parametrize(
    ("text", "devices", "arch", "cluster"),
    [
        ("", 32, "wormhole_b0", "GALAXY"),
        ("galaxy", 32, "wormhole_b0", "GALAXY"),
        ("T3K", 8, "wormhole_b0", "T3K"),
        ("n150", 1, "wormhole_b0", "N150"),
        ("n300", 2, "wormhole_b0", "N300"),
        ("p150x8", 8, "blackhole", "P150_X8"),
        ("4x8", 32, "wormhole_b0", "CUSTOM"),
    ],
)
def test_environment_names_the_machine(
    monkeypatch: pytest.MonkeyPatch, text: str, devices: int, arch: str, cluster: str
) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", text)

    assert ttnn.get_num_devices() == ttnn.get_num_pcie_devices() == ttnn.GetNumAvailableDevices() == devices
    assert ttnn.get_device_ids() == ttnn.get_pcie_device_ids() == list(range(devices))
    assert ttnn.get_arch_name() == arch
    assert ttnn.cluster.get_cluster_type().name == cluster
    assert ttnn.device.is_blackhole() is (arch == "blackhole")
    assert ttnn.device.is_wormhole_b0() is (arch == "wormhole_b0")


@pytest.mark.parametrize("text", ["galaxi", "4x", "0x8", "4x8x2"])
def test_unknown_machine_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", text)

    with pytest.raises(RuntimeError, match=rf"TTEMU_MACHINE='{text}': expected ROWSxCOLS or one of .*galaxy.*t3k"):
        ttnn.get_num_devices()


@pytest.mark.parametrize(("rows", "cols"), [(1, 8), (8, 1), (4, 2), (1, 4), (2, 2), (2, 4), (1, 1)])
def test_t3k_opens_rectangles_turned_ones_and_lines(rows: int, cols: int) -> None:
    assert machine.parse("t3k").fits(rows, cols)


@pytest.mark.parametrize(("name", "rows", "cols"), [("t3k", 1, 9), ("t3k", 3, 3), ("galaxy", 5, 5)])
def test_machine_opens_nothing_else(name: str, rows: int, cols: int) -> None:
    assert not machine.parse(name).fits(rows, cols)


@pytest.mark.parametrize(
    ("visible", "system"),
    [
        ("", (2, 4)),
        ("7,6,5,4,3,2,1,0", (2, 4)),
        ("1,2", (1, 2)),
        ("5,1,0,4", (2, 2)),
        ("0,3,5,5", (1, 3)),
        ("3,3", (1, 1)),
    ],
)
def test_visible_devices_are_all_that_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, visible: str, system: tuple[int, int]
) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")
    monkeypatch.setenv("TT_VISIBLE_DEVICES", visible)

    assert tuple(ttnn._ttnn.multi_device.SystemMeshDescriptor().shape()) == system
    assert ttnn.get_device_ids() == list(range(system[0] * system[1]))


@pytest.mark.parametrize("visible", ["8", "0,x", "0,,1"])
def test_device_that_the_machine_lacks_cannot_be_visible(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")
    monkeypatch.setenv("TT_VISIBLE_DEVICES", visible)

    with pytest.raises(RuntimeError, match=r"Invalid chip ID in TT_VISIBLE_DEVICES: .*; machine t3k has 8 chips"):
        ttnn.open_mesh_device(ttnn.MeshShape(1, 1))


@pytest.mark.parametrize(
    ("name", "extent", "ids"),
    [
        ("t3k", (2, 2), [0, 1, 4, 5]),
        ("t3k", (1, 8), [0, 1, 2, 3, 7, 6, 5, 4]),
        ("t3k", (4, 2), [0, 4, 1, 5, 2, 6, 3, 7]),
        ("galaxy", (1, 8), [0, 4, 8, 12, 16, 20, 24, 28]),
    ],
)
def test_mesh_lies_on_neighbouring_chips(name: str, extent: tuple[int, int], ids: list[int]) -> None:
    assert machine.parse(name).ids(*extent) == ids


def test_system_mesh_is_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")
    descriptor = ttnn._ttnn.multi_device.SystemMeshDescriptor()

    assert tuple(descriptor.shape()) == tuple(descriptor.local_shape()) == (2, 4)
    assert descriptor.all_local()
    assert not ttnn.using_distributed_env()

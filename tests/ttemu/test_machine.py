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


def test_system_mesh_is_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")
    descriptor = ttnn._ttnn.multi_device.SystemMeshDescriptor()

    assert tuple(descriptor.shape()) == tuple(descriptor.local_shape()) == (2, 4)
    assert descriptor.all_local()
    assert not ttnn.using_distributed_env()

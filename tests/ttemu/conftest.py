"""Meshes of the emulator, one per shape and session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ttemu as ttnn

SHAPES = {"1x1": (1, 1), "1x8": (1, 8), "2x4": (2, 4), "4x8": (4, 8)}


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a Galaxy and leave the fabric off behind it."""
    monkeypatch.delenv("TTEMU_MACHINE", raising=False)
    monkeypatch.delenv("TT_VISIBLE_DEVICES", raising=False)
    yield
    ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)


def open_mesh(shape: str) -> ttnn.MeshDevice:
    """Open a mesh such as ``2x4`` with FABRIC_1D."""
    ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    return ttnn.open_mesh_device(ttnn.MeshShape(*SHAPES[shape]))


@pytest.fixture
def mesh() -> ttnn.MeshDevice:
    """Return a 2x4 mesh."""
    return open_mesh("2x4")


@pytest.fixture
def single() -> ttnn.MeshDevice:
    """Return a mesh of one device."""
    return open_mesh("1x1")


@pytest.fixture
def line() -> ttnn.MeshDevice:
    """Return a 1x8 mesh."""
    return open_mesh("1x8")

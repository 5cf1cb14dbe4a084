"""Meshes for the model's own tests, opened without the matrix."""

from __future__ import annotations

from contextlib import contextmanager

import pytest


@contextmanager
def opened(rows, cols):
    """Yield an open mesh device; fabric must be set before opening and cleared after closing."""
    import ttnn

    if (rows, cols) != (1, 1):
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    device = ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(rows, cols))
    try:
        yield device
    finally:
        ttnn.close_mesh_device(device)
        ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)


@pytest.fixture
def open_mesh():
    """Return the context manager that opens a mesh of (rows, cols)."""
    return opened


@pytest.fixture
def mesh():
    """Return an open 2x4 mesh, the smallest that splits over both axes."""
    with opened(2, 4) as device:
        yield device

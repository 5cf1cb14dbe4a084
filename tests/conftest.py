"""Tell the tests of a cell what its mesh is being tested with.

xdist's controller loads this file too, so torch, ttnn and the model are imported in the fixture only.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def mesh_device(request, mesh_device, matrix, cell, environment):
    """Return the cell's open mesh, bound to the cell's dtype, sizes, splits and floors."""
    from dataclasses import asdict

    from gptoss.testing.factory import Bench, bind

    mesh, scale = matrix.meshes[cell.mesh], matrix.scales[cell.scale]
    bench = Bench(
        mesh=cell.mesh,
        dtype=cell.dtype,
        scale=cell.scale,
        config=scale.config,
        layers=scale.layers,
        decode=asdict(mesh.decode),
        prefill=asdict(mesh.prefill),
        floor=lambda component: matrix.floor(component, cell),
        # Not record_property, which warns where the user has pytest write JUnit.
        record=lambda name, value: request.node.user_properties.append((name, value)),
        values=environment.values,
        checkpoint=Path(os.environ["GPT_DIR"]) if os.environ.get("GPT_DIR") else None,
    )
    with bind(mesh_device, bench):
        yield mesh_device

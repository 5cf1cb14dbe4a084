"""Tell the tests of a cell what its mesh is being tested with.

xdist's controller loads this file too, so torch, ttnn and the model are imported in the fixture only.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def named_path(variable):
    """Return the path in an environment variable, None where it is unset or empty."""
    return Path(os.environ[variable]) if os.environ.get(variable) else None


@pytest.fixture
def mesh_device(request, mesh_device, matrix, cell, environment, floor):
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
        floor=floor,
        # Not record_property, which warns where the user has pytest write JUnit.
        record=lambda name, value: request.node.user_properties.append((name, value)),
        values=environment.values,
        checkpoint=named_path("GPT_DIR"),
        weight_cache=named_path("TT_CACHE_PATH"),
        scales={name: scale.config for name, scale in matrix.scales.items()},
    )
    with bind(mesh_device, bench):
        yield mesh_device

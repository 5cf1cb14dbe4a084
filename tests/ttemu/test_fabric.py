"""The fabric setting is taken over when a mesh is opened."""

from __future__ import annotations

import pytest
import torch

import ttemu as ttnn


def test_mesh_keeps_the_fabric_that_it_was_opened_with() -> None:
    ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D, ttnn.FabricReliabilityMode.RELAXED_INIT, None)
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 2))
    ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)

    assert mesh.fabric_config is ttnn.FabricConfig.FABRIC_1D
    assert ttnn.get_fabric_config() is ttnn.FabricConfig.DISABLED


def test_other_values_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="set_fabric_config: incompatible"):
        ttnn.set_fabric_config("FABRIC_1D")


@pytest.mark.parametrize(
    "collective",
    [
        lambda value: ttnn.all_gather(value, dim=3, cluster_axis=1),
        lambda value: ttnn.all_reduce(value, cluster_axis=1),
        lambda value: ttnn.reduce_scatter(value, dim=3, cluster_axis=1),
    ],
)
def test_collective_without_fabric_is_refused(collective: object) -> None:
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 2))
    value = ttnn.from_torch(torch.ones(1, 1, 32, 64), layout=ttnn.TILE_LAYOUT, device=mesh)

    with pytest.raises(RuntimeError, match=r"un-initialized fabric context; call ttnn.set_fabric_config before"):
        collective(value)

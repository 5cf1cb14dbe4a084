"""The guide's templates run as it writes them, with a component's name filled in."""

from __future__ import annotations

import re

import pytest
import torch
import ttnn
from loguru import logger

from gptoss.config import ConfigError
from gptoss.layer import DecoderLayer
from gptoss.moe.mlp import MLP
from tests.test_factory import TestFactory, parametrize_mesh

YourComponent = MLP


@pytest.fixture
def mesh_device(mesh):
    return mesh


def test_component(mesh_device):
    setup = TestFactory.setup_test(mesh_device)

    component = YourComponent(
        setup["mesh_device"],
        setup["config"],
        setup["state_dict"],
        setup["ccl_manager"],
        mesh_config=setup["mesh_config"],
    )

    hidden_states = torch.randn(1, 32, setup["config"].hidden_size)
    tt_input = ttnn.from_torch(
        hidden_states, device=setup["mesh_device"], layout=ttnn.TILE_LAYOUT, dtype=setup["dtype"]
    )

    output = component(tt_input)
    assert output.shape == tt_input.shape


def test_pattern_offers_what_the_guide_lists(mesh_device):
    setup = TestFactory.setup_test(mesh_device)

    config = setup["config"]
    mesh_config = setup["mesh_config"]
    state_dict = setup["state_dict"]
    ccl_manager = setup["ccl_manager"]
    dtype = setup["dtype"]

    assert config.hidden_size == 256
    assert str(mesh_config) == "MeshConfig(2x4, tp=4, ep=2, sp=2)"
    assert state_dict["model.norm.weight"].shape == (256,)
    assert ccl_manager.mesh_device is mesh_device
    assert dtype == ttnn.bfloat8_b


@pytest.mark.parametrize(
    "model_scale",
    [
        {"hidden_size": 128, "num_local_experts": 8},
        {"hidden_size": 160, "num_local_experts": 16},
    ],
)
def test_scalability(mesh_device, model_scale):
    setup = TestFactory.setup_test(mesh_device)

    # Override config
    for key, value in model_scale.items():
        setattr(setup["config"], key, value)

    # Generate scaled state dict
    state_dict = TestFactory._generate_dummy_state_dict(setup["config"])

    # Test with scaled config
    component = YourComponent(
        setup["mesh_device"],
        setup["config"],
        state_dict,
        setup["ccl_manager"],
        mesh_config=setup["mesh_config"],
    )

    x = torch.randn(1, 32, model_scale["hidden_size"])
    assert list(component(ttnn.from_torch(x, device=mesh_device, layout=ttnn.TILE_LAYOUT)).shape) == list(x.shape)


@pytest.mark.parametrize(("hidden_size", "num_experts"), [(2048, 64), (4096, 128)])
def test_guides_name_for_experts_is_refused_with_the_right_one(mesh_device, hidden_size, num_experts):
    setup = TestFactory.setup_test(mesh_device)

    setattr(setup["config"], "hidden_size", hidden_size)  # noqa: B010  (as the guide writes it)
    with pytest.raises(ConfigError, match=re.escape("no field 'num_experts'; did you mean num_local_experts")):
        setattr(setup["config"], "num_experts", num_experts)  # noqa: B010


def test_debug_shapes(mesh_device):
    lines = []
    sink = logger.add(lines.append, format="{message}", level="INFO")
    setup = TestFactory.setup_test(mesh_device)
    component = setup.build(DecoderLayer)

    # Log key info
    logger.info(f"Mesh: {setup['mesh_config']}")
    logger.info(f"Hidden size: {setup['config'].hidden_size}")

    input_tensor = ttnn.from_torch(
        torch.randn(1, 32, setup["config"].hidden_size),
        device=setup["mesh_device"],
        layout=ttnn.TILE_LAYOUT,
        dtype=setup["dtype"],
    )
    logger.info(f"Input shape: {input_tensor.shape}")

    output = component(input_tensor)
    logger.info(f"Output shape: {output.shape}")
    logger.remove(sink)

    assert [line.strip() for line in lines] == [
        "Mesh: MeshConfig(2x4, tp=4, ep=2, sp=2)",
        "Hidden size: 256",
        "Input shape: Shape([1, 32, 256])",
        "Output shape: Shape([1, 32, 256])",
    ]


def test_mark_of_the_guide_names_meshes():
    assert parametrize_mesh(["1x8", "4x4"]).args == ("1x8", "4x4")
    assert parametrize_mesh([(1, 8)]).args == ("1x8",)


def test_smaller_input_of_the_guide_fits(mesh_device):
    setup = TestFactory.setup_test(mesh_device)
    small_input = torch.randn(1, 16, setup["config"].hidden_size)  # 16 vs 128

    sent = ttnn.from_torch(small_input, device=mesh_device, layout=ttnn.TILE_LAYOUT, dtype=setup["dtype"])

    assert list(setup.build(YourComponent)(sent).shape) == [1, 16, 256]

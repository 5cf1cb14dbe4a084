"""Layers, the whole model and the collectives under them, each against the reference.

Every comparison covers every device of the mesh; bounds come from matrix/floors.toml.
Letters: S prompt length, H hidden, V vocabulary.
"""

from __future__ import annotations

import torch
import ttnn

from gptoss.attention import Attention
from gptoss.component import place
from gptoss.layer import DecoderLayer
from gptoss.mesh_config import COL_AXIS, ROW_AXIS
from gptoss.model import Model
from gptoss.moe.mlp import MLP
from gptoss.rms_norm import RMSNorm

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)

DECODE_STEPS = 3


@parametrize_mesh()
def test_decoder_layer_integration(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    for layer in range(setup.layers):
        decoder = setup.build(DecoderLayer, layer=layer)
        x = setup.draws.stream(setup.length + DECODE_STEPS, layer)
        expected = setup.reference.layer(x, layer)
        cache = decoder.attention.new_cache(len(x))

        prompt = decoder.prefill(setup.send(x[: setup.length]), cache=cache)
        steps = [decoder.decode(setup.send(x[t : t + 1]), t, cache) for t in range(setup.length, len(x))]

        before, after = expected.split([setup.length, DECODE_STEPS])
        assert TestFactory.compare_tensors(prompt, before, mesh_device, component="layer_prefill")
        tokens = TestFactory.in_sequence(steps)
        assert TestFactory.compare_tensors(tokens, after, mesh_device, component="layer_decode")


@parametrize_mesh()
def test_model_construction(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    model = setup.build(Model, layers=setup.layers)
    tokens = setup.draws.tokens(setup.length, setup.layers)

    logits = model(tokens)

    assert [layer.layer for layer in model.layers] == list(range(setup.layers))
    expected = setup.reference.model(tokens, layers=setup.layers)
    assert TestFactory.compare_tensors(
        logits, expected, mesh_device, component="model_prefill", dims=setup.over_columns(-1)
    )


def patterns(ccl, axis, shards):
    """Yield each collective's name, its result and what it should be, along one mesh axis.

    ``shards`` [ways, 32, N] lie one per device along the axis.
    """
    device = ccl.mesh_device
    dims = (0, None) if axis == ROW_AXIS else (None, 0)
    sent = place(device, shards[:, None], dims=dims)
    total = shards.sum(dim=0)
    joined = torch.cat(list(shards), dim=0)
    yield "all_reduce", ccl.all_reduce(sent, axis), total, (None, None)
    yield "all_gather", ccl.all_gather(sent, 2, axis), joined, (None, None)
    yield "partition", ccl.partition(place(device, joined[None, None]), 2, axis), joined, dims_of(axis, 2)
    yield "reduce_scatter", ccl.reduce_scatter(sent, 3, axis), total, dims_of(axis, 3)


def dims_of(axis, dim):
    """Return the split of a tensor whose ``dim`` lies along one mesh axis."""
    return (dim, None) if axis == ROW_AXIS else (None, dim)


@parametrize_mesh()
def test_mesh_communication_patterns(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    rows, cols = setup.mesh_config.shape
    # Small whole numbers: sums are exact in bfloat16, so every device must hold exactly these.
    whole = torch.randint(-9, 10, (rows * 32, cols * 64)).float()
    spread = place(mesh_device, whole[None, None], dims=(2, 3))
    assert TestFactory.compare_tensors(spread, whole, mesh_device, component="collectives", dims=(2, 3))

    for axis, ways in ((ROW_AXIS, rows), (COL_AXIS, cols)):
        if ways == 1:
            continue
        shards = torch.randint(-9, 10, (ways, 32, 64 * ways)).float()
        for name, actual, expected, dims in patterns(setup.ccl_manager, axis, shards):
            about = f"{name} along axis {axis}"
            assert TestFactory.compare_tensors(
                actual, expected, mesh_device, component="collectives", dims=dims, about=about
            )


VARIANTS = {
    "20b": {"num_hidden_layers": 24, "num_local_experts": 32},
    "120b": {"num_hidden_layers": 36, "num_local_experts": 128},
}


@parametrize_mesh()
def test_model_variant_compatibility(mesh_device, reset_seeds):
    for name, sizes in VARIANTS.items():
        # The published depth and number of experts, at widths that load quickly.
        setup = TestFactory.setup_test(mesh_device, hidden_size=96, intermediate_size=64, **sizes)
        last = sizes["num_hidden_layers"] - 1
        mlp = setup.build(MLP, layer=last)
        attention = setup.build(Attention, layer=last)
        x = setup.draws.decided(setup.length, layer=last)

        routed = mlp.prefill(setup.send(x))
        steps = [mlp.decode(setup.send(x[t : t + 1])) for t in range(DECODE_STEPS)]
        attended = attention.prefill(setup.send(x))

        expected = setup.reference.mlp(x, last)
        assert TestFactory.compare_tensors(routed, expected, mesh_device, component="mlp_prefill", about=name)
        tokens, expected = TestFactory.in_sequence(steps), expected[:DECODE_STEPS]
        assert TestFactory.compare_tensors(tokens, expected, mesh_device, component="mlp_decode", about=name)
        expected = setup.reference.attention(x, last)
        assert TestFactory.compare_tensors(attended, expected, mesh_device, component="attention_prefill", about=name)


def as_stored(host, dtype):
    """Return what a device holds of ``host`` in a dtype."""
    return ttnn.to_torch(ttnn.from_torch(host, layout=ttnn.TILE_LAYOUT, dtype=dtype)).float()


@parametrize_mesh()
def test_basic_functionality_preserved(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    drawn = as_stored(setup.draws.decided(64, layer=0), setup.dtype)
    x = drawn[setup.draws.is_clear(drawn, layer=0)][:32]
    components = {
        "rms_norm": (RMSNorm, setup.reference.rms_norm(x, "model.layers.0.input_layernorm")),
        "attention_prefill": (Attention, setup.reference.attention(x, 0)),
        "mlp_prefill": (MLP, setup.reference.mlp(x, 0)),
    }
    for name, (kind, expected) in components.items():
        # As the guide writes it: positional arguments, no mapper, the cell's dtype, three dims.
        component = kind(
            setup["mesh_device"],
            setup["config"],
            setup["state_dict"],
            setup["ccl_manager"],
            mesh_config=setup["mesh_config"],
            dtype=setup["dtype"],
        )
        tt_input = ttnn.from_torch(x[None], device=setup["mesh_device"], layout=ttnn.TILE_LAYOUT, dtype=setup["dtype"])

        output = component(tt_input)
        again = component(tt_input)

        assert list(output.shape) == list(tt_input.shape)
        assert TestFactory.compare_tensors(output, expected, mesh_device, component=name)
        first = ttnn.to_torch(ttnn.get_device_tensors(output)[0])
        assert TestFactory.compare_tensors(again, first, mesh_device, component="repeat", about=f"{name}: second call")
        assert TestFactory.compare_tensors(
            tt_input, x, mesh_device, component="repeat", about=f"{name}: input afterwards"
        )

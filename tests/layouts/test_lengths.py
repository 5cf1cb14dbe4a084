"""Every part of a decoder layer with prompts of one tile and of four, and the tokens that follow them.

Rows of a mesh share a prompt of one tile in parts of a tile, and 128 tokens fill the published sliding window
to the last place. Letters: S prompt length.
"""

from __future__ import annotations

import pytest

from gptoss.layer import DecoderLayer

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)

DECODE_STEPS = 2


@parametrize_mesh()
@pytest.mark.parametrize("length", [32, 128])
def test_every_part_of_a_layer(mesh_device, reset_seeds, length):
    setup = TestFactory.setup_test(mesh_device)
    layer = setup.build(DecoderLayer)
    x = setup.draws.stream(length + DECODE_STEPS, layer=0)
    clear = setup.draws.decided(length + DECODE_STEPS, layer=0)
    prompt, rest = setup.send(x[:length]), range(length, len(x))
    caches = [layer.attention.new_cache(len(x)) for _ in range(2)]

    parts = {
        "rms_norm": [layer.attention_norm.prefill(prompt)],
        "router": [layer.mlp.router.prefill(setup.send(clear[:length]))],
        "attention_prefill": [layer.attention.prefill(prompt, cache=caches[0])],
        "attention_decode": [layer.attention.decode(setup.send(x[t : t + 1]), t, caches[0]) for t in rest],
        "mlp_prefill": [layer.mlp.prefill(setup.send(clear[:length]))],
        "mlp_decode": [layer.mlp.decode(setup.send(clear[t : t + 1])) for t in rest],
        "layer_prefill": [layer.prefill(prompt, cache=caches[1])],
        "layer_decode": [layer.decode(setup.send(x[t : t + 1]), t, caches[1]) for t in rest],
    }

    reference = setup.reference
    attended, mixed, whole = reference.attention(x, 0), reference.mlp(clear, 0), reference.layer(x, 0)
    expected = {
        "rms_norm": reference.rms_norm(x[:length], "model.layers.0.input_layernorm"),
        "router": reference.routing(clear[:length], 0),
        "attention_prefill": attended[:length],
        "attention_decode": attended[length:],
        "mlp_prefill": mixed[:length],
        "mlp_decode": mixed[length:],
        "layer_prefill": whole[:length],
        "layer_decode": whole[length:],
    }
    for component, outputs in parts.items():
        actual = TestFactory.in_sequence(outputs)
        assert TestFactory.compare_tensors(actual, expected[component], mesh_device, component=component)

"""Experts, router, attention, norm and the mixture of experts, each against the reference.

Every comparison covers every device of the mesh; bounds come from matrix/floors.toml.
Letters: S prompt length, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

import itertools

import torch

from gptoss.attention import Attention
from gptoss.mesh_config import MeshConfig, Split
from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.moe.router import TopKRouter
from gptoss.rms_norm import RMSNorm

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)

TOKENS = 32
DECODE_STEPS = 3


@parametrize_mesh()
def test_experts_core(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    experts = setup.build(Experts)
    x, routing = setup.draws.hidden(TOKENS), setup.draws.routing(TOKENS, pool=8)
    expected = setup.reference.experts(x, routing, 0)

    together = experts.prefill(setup.send(x), setup.send(routing))
    alone = [experts.decode(setup.send(x[t : t + 1]), setup.send(routing[t : t + 1])) for t in range(DECODE_STEPS)]

    assert TestFactory.compare_tensors(together, expected, mesh_device, component="experts_prefill")
    tokens = TestFactory.in_sequence(alone)
    assert TestFactory.compare_tensors(tokens, expected[:DECODE_STEPS], mesh_device, component="experts_decode")


@parametrize_mesh()
def test_topk_router(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    router = setup.build(TopKRouter, layer=setup.layers - 1)
    x = setup.draws.decided(TOKENS, layer=setup.layers - 1)
    expected = setup.reference.routing(x, setup.layers - 1)

    actual = router.prefill(setup.send(x))

    assert TestFactory.compare_tensors(actual, expected, mesh_device, component="router")
    scores, k = setup.reference.router_logits(x, setup.layers - 1), setup.config.num_experts_per_tok
    assert TestFactory.compare_experts(actual, scores, mesh_device, k=k, component="router")


@parametrize_mesh()
def test_attention_core(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    for layer in (0, 1):  # sliding window, then full
        attention = setup.build(Attention, layer=layer)
        x = setup.draws.hidden(setup.length + DECODE_STEPS)
        expected = setup.reference.attention(x, layer)
        cache = attention.new_cache(len(x))

        prompt = attention.prefill(setup.send(x[: setup.length]), cache=cache)
        steps = [attention.decode(setup.send(x[t : t + 1]), t, cache) for t in range(setup.length, len(x))]

        before, after = expected.split([setup.length, DECODE_STEPS])
        assert TestFactory.compare_tensors(prompt, before, mesh_device, component="attention_prefill")
        tokens = TestFactory.in_sequence(steps)
        assert TestFactory.compare_tensors(tokens, after, mesh_device, component="attention_decode")


@parametrize_mesh()
def test_rms_norm(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    # From 1e-3, where eps weighs as much as the data, to 100.
    sizes = torch.logspace(-3, 2, TOKENS)[:, None]
    x = (setup.draws.hidden(TOKENS) * sizes).bfloat16().float()

    for key in ("model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm", "model.norm"):
        actual = setup.build(RMSNorm, name=key).prefill(setup.send(x))
        expected = setup.reference.rms_norm(x, key)

        assert TestFactory.compare_tensors(actual, expected, mesh_device, component="rms_norm", about=key)


@parametrize_mesh()
def test_full_mlp_pipeline(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    mlp = setup.build(MLP)
    x = setup.draws.decided(TOKENS, layer=0)
    expected = setup.reference.mlp(x, 0)

    prompt = mlp.prefill(setup.send(x))
    steps = [mlp.decode(setup.send(x[t : t + 1])) for t in range(DECODE_STEPS)]

    assert TestFactory.compare_tensors(prompt, expected, mesh_device, component="mlp_prefill")
    tokens = TestFactory.in_sequence(steps)
    assert TestFactory.compare_tensors(tokens, expected[:DECODE_STEPS], mesh_device, component="mlp_decode")


def splits_of(shape):
    """Return every way to spread the model over a mesh, fully split and not at all."""
    rows, cols = shape
    for tp, ways in sorted(set(itertools.product((1, cols), (1, rows)))):
        yield MeshConfig(shape, decode=Split(tp=tp, ep=ways), prefill=Split(tp=tp, sp=ways))


@parametrize_mesh()
def test_mesh_flexibility(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device, num_local_experts=8)
    x = setup.draws.decided(TOKENS - 2, layer=0)  # not a multiple of the rows: prefill pads
    routed, attended = setup.reference.mlp(x, 0), setup.reference.attention(x, 0)

    for mesh_config in splits_of(setup.mesh_config.shape):
        mlp = setup.build(MLP, mesh_config=mesh_config)
        attention = setup.build(Attention, mesh_config=mesh_config)
        tokens = TestFactory.in_sequence([mlp.decode(setup.send(x[t : t + 1])) for t in range(DECODE_STEPS)])
        for component, actual, expected in (
            ("mlp_prefill", mlp.prefill(setup.send(x)), routed),
            ("mlp_decode", tokens, routed[:DECODE_STEPS]),
            ("attention_prefill", attention.prefill(setup.send(x)), attended),
        ):
            assert TestFactory.compare_tensors(actual, expected, mesh_device, component=component, about=mesh_config)


MODEL_SCALES = [
    {"hidden_size": 192, "intermediate_size": 128, "num_local_experts": 16},
    {"hidden_size": 96, "intermediate_size": 192, "num_local_experts": 64},
]


@parametrize_mesh()
def test_model_scale_flexibility(mesh_device, reset_seeds):
    for model_scale in MODEL_SCALES:
        setup = TestFactory.setup_test(mesh_device)
        config = setup["config"]
        for key, value in model_scale.items():
            setattr(config, key, value)
        setup = setup.with_weights(TestFactory._generate_dummy_state_dict(config))
        mlp = MLP(
            setup["mesh_device"],
            config,
            setup["state_dict"],
            setup["ccl_manager"],
            mesh_config=setup["mesh_config"],
            dtype=setup["dtype"],
        )
        x = setup.draws.decided(TOKENS, layer=0)
        expected = setup.reference.mlp(x, 0)

        prompt = mlp.prefill(setup.send(x))
        steps = [mlp.decode(setup.send(x[t : t + 1])) for t in range(DECODE_STEPS)]

        assert TestFactory.compare_tensors(prompt, expected, mesh_device, component="mlp_prefill", about=model_scale)
        tokens, expected = TestFactory.in_sequence(steps), expected[:DECODE_STEPS]
        assert TestFactory.compare_tensors(tokens, expected, mesh_device, component="mlp_decode", about=model_scale)

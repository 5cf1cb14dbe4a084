"""The reference gives what can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.reference import Reference, ReferenceCache, attend, rotate, swiglu
from gptoss.weights import DummyWeights

CONFIG = GptOssConfig(
    hidden_size=64,
    intermediate_size=32,
    num_hidden_layers=2,
    num_local_experts=8,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    vocab_size=96,
    sliding_window=4,
    initial_context_length=64,
)


@pytest.fixture
def reference():
    return Reference(CONFIG, DummyWeights(CONFIG))


def test_norm_of_a_constant_row_is_its_weight(reference):
    weight = reference.state_dict["model.norm.weight"].float()

    actual = reference.rms_norm(torch.full((2, 64), 100.0), "model.norm")

    assert torch.allclose(actual, weight.expand(2, 64), atol=1e-5)


def test_norm_of_nothing_is_nothing(reference):
    assert reference.rms_norm(torch.zeros(1, 64), "model.norm").abs().max() == 0


def test_first_position_is_only_scaled(reference):
    heads = torch.randn(1, 4, 32)

    actual = rotate(heads, *reference.rope_tables([0]))

    assert torch.allclose(actual, heads * (0.1 * math.log(32) + 1))


def test_published_frequencies_bend_where_yarn_says():
    published = Reference(GptOssConfig(), {})._frequencies()
    plain = [150000 ** (-2 * i / 64) for i in range(32)]

    # Ramp from pair 8.0928 to 17.3980.
    assert published[:9] == pytest.approx(plain[:9])
    assert published[9] < plain[9]
    assert published[18:] == pytest.approx([f / 32 for f in plain[18:]])


def test_query_sees_itself_and_the_past_only():
    q, k = torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)
    v = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[5.0, 5.0]]])
    far_below = torch.tensor([-1e9])

    out = attend(q, k, v, far_below, window=None)

    assert torch.allclose(out[:, 0], torch.tensor([[1.0, 0.0], [0.5, 0.5], [2.0, 2.0]]))


def test_window_counts_the_query_itself():
    v = torch.tensor([1.0, 10.0, 100.0])[:, None, None]

    out = attend(torch.zeros(3, 1, 1), torch.zeros(3, 1, 1), v, torch.tensor([-1e9]), window=2)

    assert out.flatten().tolist() == pytest.approx([1.0, 5.5, 55.0])


def test_sink_takes_its_share_unscaled():
    # One key with score 0 beside a sink of log 3: the key keeps a quarter.
    out = attend(
        torch.zeros(1, 1, 16), torch.zeros(1, 1, 16), torch.ones(1, 1, 16), torch.tensor([3.0]).log(), window=None
    )

    assert out.flatten().tolist() == pytest.approx([0.25] * 16)


def test_query_heads_share_kv_heads_in_order():
    v = torch.tensor([1.0, 2.0])[None, :, None]

    out = attend(torch.zeros(1, 4, 1), torch.zeros(1, 2, 1), v, torch.full((4,), -1e9), window=None)

    assert out.flatten().tolist() == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_swiglu_clamps_gate_above_and_up_on_both_sides():
    gate = torch.tensor([9.0, -9.0, 1.0])
    up = torch.tensor([9.0, -9.0, 0.0])

    actual = swiglu(gate, up, limit=7.0, alpha=1.702)

    assert actual[0] == pytest.approx(8 * 7, rel=1e-4)
    assert actual[1] == pytest.approx(-6 * -9 / (1 + math.exp(9 * 1.702)))
    assert actual[2] == pytest.approx(1 / (1 + math.exp(-1.702)))


def test_made_up_weights_reach_the_clamp(reference):
    x = torch.randn(64, 64)
    gates = x @ reference.state_dict.expert("model.layers.0.mlp.experts.gate_up_proj", 0).float()

    assert 0.0005 < (gates.abs() > CONFIG.swiglu_limit).float().mean() < 0.05


def test_router_takes_the_best_and_weighs_them_alone(reference):
    x = torch.randn(16, 64)
    logits = reference.router_logits(x, 0)

    weights, chosen = reference.router(x, 0)

    assert torch.equal(chosen, logits.topk(4).indices)
    assert torch.allclose(weights, logits.topk(4).values.softmax(-1))
    assert torch.allclose(reference.routing(x, 0).sum(-1), torch.ones(16))


def test_experts_bias_is_inside_the_weighting(reference):
    routing = torch.zeros(1, 8)
    routing[0, 3] = 0.25
    x = torch.zeros(1, 64)

    quarter = reference.experts(x, routing, 0)

    assert torch.allclose(quarter, reference.experts(x, routing * 4, 0) / 4)


def test_routing_is_not_degenerate(reference):
    routing = reference.routing(torch.randn(128, 64), 0)

    used = (routing != 0).sum(dim=0)
    assert used.min() > 0
    assert used.max() < 128


def test_reference_decodes_as_it_prefills(reference):
    tokens = torch.randint(0, 96, (12,), generator=torch.Generator().manual_seed(6))
    whole = reference.model(tokens, layers=2)

    caches = [ReferenceCache(), ReferenceCache()]
    steps = [reference.model(tokens[:8], layers=2, caches=caches)]
    steps += [reference.model(tokens[i : i + 1], layers=2, caches=caches) for i in range(8, 12)]

    assert torch.allclose(torch.cat(steps), whole, atol=2e-5)


def test_biases_can_be_absent():
    config = CONFIG.replace(attention_bias=False)
    weights = DummyWeights(config)
    x = torch.randn(2, 64)

    actual = Reference(config, weights)._linear(x, "model.layers.0.self_attn.q_proj")

    assert torch.equal(actual, x @ weights["model.layers.0.self_attn.q_proj.weight"].float().T)

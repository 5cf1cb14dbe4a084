"""Made-up weights: the same wherever and whenever they are made, and never two alike."""

from __future__ import annotations

import pytest
import torch

from gptoss.config import GptOssConfig
from gptoss.weights import DummyWeights, expert_tensor, shapes
from gptoss.weights.dummy import OUT_OF_REACH

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_local_experts": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 96,
}
GATE_UP = "model.layers.1.mlp.experts.gate_up_proj"


@pytest.fixture
def weights():
    return DummyWeights(GptOssConfig(**SIZES))


def test_every_tensor_has_its_shape(weights):
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == shapes(GptOssConfig(**SIZES))
    assert len(weights) == 2 * 17 + 3


def test_biases_follow_the_config():
    names = shapes(GptOssConfig(**SIZES, attention_bias=False))

    assert "model.layers.0.self_attn.q_proj.bias" not in names
    assert "model.layers.0.mlp.router.bias" in names


def test_values_do_not_depend_on_order(weights):
    forwards = {name: weights[name] for name in weights}
    other = DummyWeights(GptOssConfig(**SIZES))

    backwards = {name: other[name] for name in reversed(list(other))}

    assert all(torch.equal(forwards[name], backwards[name]) for name in forwards)


def test_values_are_fixed_for_all_time(weights):
    # A change here is a change of every number that floors were measured on.
    first = weights["model.layers.0.self_attn.q_proj.weight"][0, :4]

    assert first.tolist() == [-0.0849609375, 0.2177734375, -0.166015625, 0.15234375]


def test_one_expert_is_its_slice_of_the_stack(weights):
    assert torch.equal(weights.expert(GATE_UP, 3), weights[GATE_UP][3])


def test_plain_dict_serves_experts_too(weights):
    plain = dict(weights)

    assert torch.equal(expert_tensor(plain, GATE_UP, 2), expert_tensor(weights, GATE_UP, 2))


def test_no_two_tensors_are_alike(weights):
    experts = [weights.expert(f"model.layers.{layer}.mlp.experts.down_proj", e) for layer in (0, 1) for e in range(4)]

    for i, one in enumerate(experts):
        for other in experts[:i]:
            assert not torch.equal(one, other)


def test_another_seed_makes_other_values(weights):
    other = DummyWeights(GptOssConfig(**SIZES), seed=1)

    assert not torch.equal(other[GATE_UP], weights[GATE_UP])


def test_bfloat16_holds_every_value(weights):
    for name, tensor in weights.items():
        assert torch.equal(tensor, tensor.bfloat16().float()), name


def test_spread_keeps_products_near_one(weights):
    q = weights["model.layers.0.self_attn.q_proj.weight"].float()

    assert q.std() * 64**0.5 == pytest.approx(1.0, rel=0.05)
    assert weights["model.layers.0.self_attn.sinks"].abs().min() > 0
    assert weights["model.layers.0.self_attn.o_proj.bias"].abs().max() > 0.1


def test_unknown_name_is_a_key_error(weights):
    with pytest.raises(KeyError, match="lm_tail"):
        weights["lm_tail.weight"]


def test_pool_leaves_few_experts_within_reach():
    config, router = GptOssConfig(**{**SIZES, "num_local_experts": 16}), "model.layers.1.mlp.router.bias"
    pools = [DummyWeights(config, pool=4, pool_seed=seed)[router] > -OUT_OF_REACH / 2 for seed in range(24)]

    assert [int(within.sum()) for within in pools] == [4] * 24
    assert torch.stack(pools).any(dim=0).all(), "over many seeds every expert has its turn"
    assert not torch.equal(pools[0], pools[1])


def test_pool_changes_nothing_but_other_biases():
    config, router = GptOssConfig(**{**SIZES, "num_local_experts": 16}), "model.layers.1.mlp.router.bias"
    plain, pooled = DummyWeights(config), DummyWeights(config, pool=4)

    within = pooled[router] > -OUT_OF_REACH / 2

    assert torch.equal(pooled[router][within], plain[router][within])
    assert torch.equal(pooled[GATE_UP], plain[GATE_UP])
    assert pooled.identity == plain.identity, "what is kept on disk serves tests of any pool"


def test_rows_are_those_of_the_table():
    config = GptOssConfig(**{**SIZES, "vocab_size": 200})
    table = DummyWeights(config)["lm_head.weight"]

    # The first and the last row of a block, a block twice, and one that the end cuts short.
    rows = DummyWeights(config).rows("lm_head.weight", [64, 63, 199, 65])

    assert torch.equal(rows, table[[64, 63, 199, 65]])


def test_only_so_many_bytes_are_kept():
    weights = DummyWeights(GptOssConfig(**SIZES), keep_bytes=3 * 64 * 64 * 2)
    experts = [weights.expert(GATE_UP, e) for e in range(4)]

    assert weights.expert(GATE_UP, 3) is experts[3]
    assert weights.expert(GATE_UP, 0) is not experts[0], "the one that was used longest ago is made anew"
    assert torch.equal(weights.expert(GATE_UP, 0), experts[0])

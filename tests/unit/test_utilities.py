"""Rotation, attention kernels, head counts, generation and memory, each against the reference.

Every comparison covers every device of the mesh; bounds come from matrix/floors.toml.
Letters: S prompt length, N heads, D head_dim, V vocabulary.
"""

from __future__ import annotations

import math

import torch
import ttnn

from gptoss.attention import Attention
from gptoss.attention.rope import Rope, head_sharded, pair_order
from gptoss.component import place
from gptoss.model import Model
from gptoss.moe.experts import Experts
from gptoss.reference import attend, rotate
from gptoss.testing.noted import Noted

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)

DECODE_STEPS = 3


def rounded(*shape):
    """Return random values that bfloat16 holds exactly."""
    return torch.randn(*shape).bfloat16().float()


@parametrize_mesh()
def test_rope_embeddings(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    heads, head_dim = setup.config.num_key_value_heads, setup.config.head_dim
    rope = Rope(mesh_device, setup.config)
    order = pair_order(1, head_dim)

    x = rounded(setup.length, heads, head_dim)
    cos, sin = setup.reference.rope_tables(list(range(setup.length)))
    expected = rotate(x, cos, sin)[..., order].transpose(0, 1)
    sent = place(mesh_device, x[..., order].transpose(0, 1)[None])
    actual = rope.prefill(sent, rope.rows(setup.length))
    assert TestFactory.compare_tensors(actual, expected, mesh_device, component="rope")

    # The last is far beyond the context that the frequencies were stretched from.
    for position in (0, 1, setup.config.initial_context_length // 2, rope.length - 1):
        x = rounded(1, heads, head_dim)
        expected = rotate(x, *setup.reference.rope_tables([position]))[..., order]
        one_core = head_sharded(mesh_device, head_dim, heads)
        sent = place(mesh_device, x[None][..., order], memory_config=one_core)
        actual = rope.decode(sent, rope.row(position))
        assert TestFactory.compare_tensors(
            actual, expected, mesh_device, component="rope", about=f"position {position}"
        )


@parametrize_mesh()
def test_scaled_dot_product_attention(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    config, length = setup.config, setup.length
    heads, token_heads = setup.over_columns(1), setup.over_columns(2)
    for layer in (0, 1):  # sliding window, then full
        attention = setup.build(Attention, layer=layer)
        q = rounded(length, config.num_attention_heads, config.head_dim)
        k, v = (rounded(length, config.num_key_value_heads, config.head_dim) for _ in range(2))
        sinks = setup.state_dict[f"model.layers.{layer}.self_attn.sinks"]
        expected = attend(q, k, v, sinks, window=None if layer else config.sliding_window)
        sent = [place(mesh_device, x.transpose(0, 1)[None], dims=heads) for x in (q, k, v)]

        actual = attention.attend(*sent)

        assert TestFactory.compare_tensors(
            actual, expected.transpose(0, 1), mesh_device, component="sdpa_prefill", dims=heads, about=f"layer {layer}"
        )
        cache = attention.new_cache(length)
        cache.fill(*sent[1:])
        for position in (0, length - 1):
            token = place(mesh_device, q[position][None, None], dims=token_heads)
            actual = attention.attend_cached(token, cache, cache.positions(position))
            about = f"layer {layer}, position {position}"
            assert TestFactory.compare_tensors(
                actual, expected[position], mesh_device, component="sdpa_decode", dims=token_heads, about=about
            )


@parametrize_mesh()
def test_attention_head_flexibility(mesh_device, reset_seeds):
    ways = TestFactory.setup_test(mesh_device).mesh_config.tp
    # One kv head a device or two; one query head for each or many; one tile wide or two.
    for per_kv, kv_per_device, head_dim in ((1, 1, 32), (4, 1, 64), (2, 2, 32)):
        kv_heads = ways * kv_per_device
        setup = TestFactory.setup_test(
            mesh_device, num_attention_heads=kv_heads * per_kv, num_key_value_heads=kv_heads, head_dim=head_dim
        )
        attention = setup.build(Attention)
        x = setup.draws.hidden(setup.length + DECODE_STEPS)
        cache = attention.new_cache(len(x))

        prompt = attention.prefill(setup.send(x[: setup.length]), cache=cache)
        steps = [attention.decode(setup.send(x[t : t + 1]), t, cache) for t in range(setup.length, len(x))]

        heads = f"{kv_heads * per_kv}/{kv_heads} heads x {head_dim}"
        before, after = setup.reference.attention(x, 0).split([setup.length, DECODE_STEPS])
        assert TestFactory.compare_tensors(prompt, before, mesh_device, component="attention_prefill", about=heads)
        tokens = TestFactory.in_sequence(steps)
        assert TestFactory.compare_tensors(tokens, after, mesh_device, component="attention_decode", about=heads)


@parametrize_mesh()
def test_minimal_inference_pipeline(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    model = setup.build(Model, layers=setup.layers)
    dims = setup.over_columns(-1)
    tokens = setup.draws.tokens(setup.length + DECODE_STEPS, setup.layers)
    expected = setup.reference.model(tokens, layers=setup.layers)
    caches = model.new_caches(len(tokens))

    logits = model.prefill(tokens[: setup.length], caches)
    # The next tokens are given, not chosen, so that one near tie does not part the two.
    steps = [model.decode(int(tokens[t]), t, caches) for t in range(setup.length, len(tokens))]

    before, after = expected.split([setup.length, DECODE_STEPS])
    assert TestFactory.compare_tensors(logits, before, mesh_device, component="model_prefill", dims=dims)
    answers = TestFactory.in_sequence(steps)
    assert TestFactory.compare_tensors(answers, after, mesh_device, component="model_decode", dims=dims)


@parametrize_mesh()
def test_memory_efficiency(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    noted = Noted(setup.state_dict)
    x, routing = setup.draws.hidden(32), setup.draws.routing(32, pool=8)
    expected = setup.reference.experts(x, routing, 0)
    chosen = routing.ne(0).any(dim=0)
    experts = setup.with_weights(noted).build(Experts, limit_bytes=0)

    actual = experts.prefill(setup.send(x), setup.send(routing))

    assert TestFactory.compare_tensors(actual, expected, mesh_device, component="experts_prefill")
    assert TestFactory.compare_tensors(noted.times(), chosen, mesh_device, component="experts_made")
    noted.made.clear()
    steps = [experts.decode(setup.send(x[t : t + 1]), setup.send(routing[t : t + 1])) for t in range(DECODE_STEPS)]
    tokens = TestFactory.in_sequence(steps)
    assert TestFactory.compare_tensors(tokens, expected[:DECODE_STEPS], mesh_device, component="experts_decode")
    used = routing[:DECODE_STEPS].ne(0).sum(dim=0)
    assert TestFactory.compare_tensors(noted.times(), used, mesh_device, component="experts_made")

    one = experts.bank.load((0,))
    sizes = setup.config.hidden_size * setup.config.intermediate_size
    for matrix in (one.gate, one.up, one.down):
        shards = ttnn.get_device_tensors(matrix)
        assert {math.prod(shard.shape) * setup.mesh_config.tp for shard in shards} == {sizes}

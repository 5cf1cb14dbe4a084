"""The mixture of experts in each of its layouts, against the reference on every device.

Letters: S prompt length, B users of one row, R rows, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.moe.router import TopKRouter
from gptoss.weights import DummyWeights
from tests.layouts.users import rows_split, send_tokens
from tests.test_factory import TestFactory, parametrize_mesh


def throughput(setup):
    """Return the setup with users over rows and whole experts on all devices."""
    return replace(setup, mesh_config=setup.mesh_config.for_throughput())


def assert_rows_agree(setup, run, tokens, about):
    """Compare what ``run`` makes of as many tokens on each row with the reference."""
    x = setup.draws.decided(tokens * setup.mesh_config.user_rows, layer=0)

    actual = run(send_tokens(setup, x))

    expected, dims = setup.reference.mlp(x, 0), rows_split(setup, 2)
    assert TestFactory.compare_tensors(
        actual, expected, setup.mesh_device, component="mlp_throughput", dims=dims, about=about
    )


@parametrize_mesh()
def test_throughput_decode(mesh_device, reset_seeds):
    setup = throughput(TestFactory.setup_test(mesh_device))
    mlp = setup.build(MLP)

    for users in (1, 5):
        assert_rows_agree(setup, mlp.decode, users, f"{users} users a row")


@parametrize_mesh()
def test_throughput_decode_of_full_rows(mesh_device, reset_seeds):
    setup = throughput(TestFactory.setup_test(mesh_device))

    assert_rows_agree(setup, setup.build(MLP).decode, 32, "32 users a row")


@parametrize_mesh()
def test_throughput_prefill_in_chunks(mesh_device, reset_seeds):
    setup = throughput(TestFactory.setup_test(mesh_device))

    assert_rows_agree(setup, setup.build(MLP, chunk_tokens=32).prefill, 37, "a chunk of 32 tokens and one of 5")


@parametrize_mesh()
def test_throughput_experts_loaded_in_turns(mesh_device, reset_seeds):
    setup = throughput(TestFactory.setup_test(mesh_device))

    assert_rows_agree(setup, setup.build(MLP, limit_bytes=0).decode, 2, "an expert of each device at a time")


@parametrize_mesh()
def test_decode_of_users_that_every_row_knows(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    mlp = setup.build(MLP)

    for users in (2, 5, 32):
        x = setup.draws.decided(users, layer=0)
        actual = mlp.decode(setup.send(x))

        expected, about = setup.reference.mlp(x, 0), f"{users} users"
        assert TestFactory.compare_tensors(actual, expected, mesh_device, component="mlp_decode", about=about)


@parametrize_mesh()
def test_decode_splits_any_count_of_experts_over_rows(mesh_device, reset_seeds):
    for chosen in sorted({TestFactory.setup_test(mesh_device).mesh_config.decode.ep, 4, 8}):
        setup = TestFactory.setup_test(mesh_device, num_experts_per_tok=chosen)
        mlp = setup.build(MLP)
        x = setup.draws.decided(3, layer=0)
        steps = [mlp.decode(setup.send(x[t : t + 1])) for t in range(len(x))]

        expected, about = setup.reference.mlp(x, 0), f"{chosen} experts a token"
        tokens = TestFactory.in_sequence(steps)
        assert TestFactory.compare_tensors(tokens, expected, mesh_device, component="mlp_decode", about=about)


def far_apart(setup, gap):
    """Return the setup with a router that prefers each of its K favourite experts by ``gap`` to the next one."""
    count, chosen = setup.config.num_local_experts, setup.config.num_experts_per_tok
    bias = torch.zeros(count)
    bias[torch.randperm(count)[:chosen]] = gap * torch.arange(chosen, 0, -1)
    names = [name for name in setup.state_dict if name.startswith("model.layers.0.mlp.")]
    return setup.with_weights(
        {name: setup.state_dict[name] for name in names} | {"model.layers.0.mlp.router.bias": bias}
    )


@parametrize_mesh()
def test_decode_when_a_chosen_weight_rounds_to_zero(mesh_device, reset_seeds):
    setup = far_apart(TestFactory.setup_test(mesh_device), gap=120.0)
    x = setup.draws.hidden(3)
    mlp = setup.build(MLP)

    weights = setup.build(TopKRouter).prefill(setup.send(x))
    steps = [mlp.decode(setup.send(x[t : t + 1])) for t in range(len(x))]

    scores, k = setup.reference.router_logits(x, 0), setup.config.num_experts_per_tok
    assert TestFactory.compare_experts(weights, scores, mesh_device, k=k, component="router")
    tokens = TestFactory.in_sequence(steps)
    assert TestFactory.compare_tensors(tokens, setup.reference.mlp(x, 0), mesh_device, component="mlp_decode")


def every_expert(setup):
    """Return the setup with a router that may choose any expert, where made-up weights keep to a pool of them."""
    if not isinstance(setup.state_dict, DummyWeights):
        return setup
    return setup.with_weights(DummyWeights(setup.config))


@parametrize_mesh()
def test_router_of_undecided_tokens(mesh_device, reset_seeds):
    setup = every_expert(TestFactory.setup_test(mesh_device))
    x = setup.draws.hidden(64)

    weights = setup.build(TopKRouter).prefill(setup.send(x))

    scores, k = setup.reference.router_logits(x, 0), setup.config.num_experts_per_tok
    # Of 64 tokens, over 30 seeds, 0.7 choose otherwise out of 32 experts, 3 at most; out of 128, over 6 seeds, 2 and 4.
    assert TestFactory.compare_experts(weights, scores, mesh_device, k=k, component="router", near_ties=8)


@parametrize_mesh()
def test_prefill_in_chunks_of_any_length(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    mlp = setup.build(MLP, chunk_tokens=64)

    for length in (3, 75):
        x = setup.draws.decided(length, layer=0)
        actual = mlp.prefill(setup.send(x))

        expected, about = setup.reference.mlp(x, 0), f"{length} tokens"
        assert TestFactory.compare_tensors(actual, expected, mesh_device, component="mlp_prefill", about=about)


@parametrize_mesh()
def test_streamed_experts_answer_several_users(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    x, routing = setup.draws.hidden(5), setup.draws.routing(5, pool=9)

    actual = setup.build(Experts, limit_bytes=0).decode(setup.send(x), setup.send(routing))

    expected = setup.reference.experts(x, routing, 0)
    assert TestFactory.compare_tensors(actual, expected, mesh_device, component="experts_decode")

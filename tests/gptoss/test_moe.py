"""Which experts are loaded, where they lie, and how the chosen ones are shared out."""

from __future__ import annotations

import pytest
import torch
import ttnn

from gptoss.component import place
from gptoss.mesh_config import MeshConfig, MeshConfigError
from gptoss.moe.expert_bank import WholeExpertBank
from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.moe.router import TopKRouter
from gptoss.moe.throughput import ThroughputExperts
from gptoss.testing.comparison import copies
from gptoss.testing.factory import TestFactory
from gptoss.testing.noted import Noted

SHAPE = (2, 4)


@pytest.fixture
def setup(mesh):
    return TestFactory.setup_test(mesh, dtype=ttnn.bfloat16)


def test_whole_experts_lie_on_devices_in_their_order(setup):
    bank = setup.build(ThroughputExperts, mesh_config=setup.mesh_config.for_throughput()).bank
    down = setup.state_dict["model.layers.0.mlp.experts.down_proj"]

    shards = ttnn.get_device_tensors(bank.resident.down)

    assert bank.each == 4
    for device, shard in enumerate(shards):
        own = down[device * 4 : device * 4 + 4]
        assert torch.equal(ttnn.to_torch(shard)[0].float(), own)


def test_throughput_loads_what_any_row_chose_and_once(setup):
    noted = Noted(setup.state_dict)
    spread = setup.mesh_config.for_throughput()
    mlp = setup.with_weights(noted).build(MLP, mesh_config=spread, limit_bytes=0)
    x = setup.draws.decided(2, layer=0)
    asked = setup.reference.router(x, 0)[1].unique().tolist()

    output = mlp.decode(place(setup.mesh_device, x[None, None], dims=(2, None)))

    assert mlp.experts.bank.set_size == 8, "one expert of each device"
    assert sorted(noted.made) == asked
    assert TestFactory.compare_tensors(output, setup.reference.mlp(x, 0), setup.mesh_device, dims=(2, None))


@pytest.mark.parametrize(
    ("shape", "per_set", "asked", "places"),
    [
        ((1, 1), 5, [0, 1, 2, 3], [0]),
        ((1, 1), 5, [0, 9, 29, 31], [0, 5, 25, 30]),
        ((1, 1), 5, [27, 28, 30, 31], [25, 30]),
        ((1, 1), 20, [20, 28, 30, 31], [20]),
        ((2, 4), 3, [0, 4, 8, 13], [0]),
        ((2, 4), 3, [3, 7, 12, 31], [0, 3]),
        ((2, 4), 3, [3, 7, 11, 31], [3]),
    ],
    ids=["first", "all", "end", "last-alone", "mesh-first", "mesh-both", "mesh-last-alone"],
)
def test_throughput_runs_with_a_short_last_set(open_mesh, shape, per_set, asked, places):
    with open_mesh(*shape) as device:
        setup = TestFactory.setup_test(device, dtype=ttnn.bfloat16)
        setup = setup.with_weights(choosing(setup.state_dict, asked))
        spread, devices = setup.mesh_config.for_throughput(), shape[0] * shape[1]
        limit = 3 * 256 * 256 * 4 * per_set * devices
        mlp = setup.build(MLP, mesh_config=spread, limit_bytes=limit)
        loaded, real = [], mlp.experts.bank.load
        mlp.experts.bank.load = lambda ids, first: loaded.append(first) or real(ids, first)
        x = setup.draws.hidden(shape[0])
        dims = (2, None) if shape[0] > 1 else (None, None)

        output = mlp.decode(place(device, x[None, None], dims=dims))

        assert loaded == places
        assert TestFactory.compare_tensors(output, setup.reference.mlp(x, 0), device, dims=dims)


def choosing(weights, experts):
    """Return the weights with a router that every token takes to these experts."""
    bias = torch.full((32,), -50.0)
    # Near zero: scores of 50 are rounded by an eighth, and weights with them.
    bias[experts] = 0.0
    return dict(weights) | {"model.layers.0.mlp.router.bias": bias}


def test_limit_says_how_many_experts_of_each_device_make_a_set(setup):
    spread = setup.mesh_config.for_throughput()
    each = 3 * 256 * 256 * 4

    sizes = [
        setup.build(ThroughputExperts, mesh_config=spread, limit_bytes=each * count).bank.set_size
        for count in (7, 16, 31)
    ]

    assert sizes == [8, 16, 24]


def test_whole_experts_written_one_by_one_are_the_stack(setup, monkeypatch):
    spread = setup.mesh_config.for_throughput()
    stacked = setup.build(ThroughputExperts, mesh_config=spread).bank.resident
    sizes = set()
    real = WholeExpertBank._stack
    monkeypatch.setattr("gptoss.moe.expert_bank.RESIDENT_LIMIT_BYTES", 0)
    monkeypatch.setattr(
        WholeExpertBank, "_stack", lambda self, name, ids: sizes.add((name[-5:], len(ids))) or real(self, name, ids)
    )

    written = setup.build(ThroughputExperts, mesh_config=spread).bank.resident

    assert ("_proj", 8) in sizes, "the host held an expert of each device"
    assert ("_proj", 32) not in sizes
    for name in ("gate", "up", "down"):
        one, other = (copies(getattr(held, name), SHAPE) for held in (stacked, written))
        assert all(torch.equal(one[at], other[at]) for at in one)


def test_throughput_refuses_experts_that_devices_do_not_divide(mesh):
    setup = TestFactory.setup_test(mesh, num_local_experts=12)

    with pytest.raises(MeshConfigError, match="mesh 2x4: num_local_experts=12 does not divide by devices=8"):
        setup.build(MLP, mesh_config=MeshConfig.of(mesh).for_throughput())


def test_eight_rows_share_eight_experts_of_a_token(open_mesh):
    with open_mesh(8, 4) as device:
        setup = TestFactory.setup_test(device, num_experts_per_tok=8)
        mlp = setup.build(MLP)
        x = setup.draws.decided(1, layer=0)

        output = mlp.decode(setup.send(x))

        assert setup.mesh_config.decode.ep == 8
        assert TestFactory.compare_tensors(output, setup.reference.mlp(x, 0), device)


def test_dense_weights_are_those_of_the_chosen(setup):
    router = setup.build(TopKRouter)
    x = setup.send(setup.draws.hidden(5))

    choice, dense = router.choose(x), router.prefill(x)

    weights, indices, whole = (
        ttnn.to_torch(ttnn.get_device_tensors(held)[0])[0, 0].float()
        for held in (choice.weights, choice.indices, dense)
    )
    assert torch.equal(torch.zeros(5, 32).scatter(1, indices.long(), weights), whole)
    assert (whole != 0).sum() == 5 * 4


def transparent(setup):
    """Return the setup with experts that answer with their gate, which is the token itself; up is zero."""
    count, width = setup.config.num_local_experts, setup.config.hidden_size
    gate_up = torch.zeros(count, width, 2 * width)
    gate_up[:, range(width), range(0, 2 * width, 2)] = 1.0
    weights = {
        "gate_up_proj": gate_up,
        "gate_up_proj_bias": torch.zeros(count, 2 * width),
        "down_proj": torch.eye(width).expand(count, -1, -1),
        "down_proj_bias": torch.zeros(count, width),
    }
    return setup.with_weights({f"model.layers.0.mlp.experts.{name}": value for name, value in weights.items()})


@pytest.mark.parametrize("mode", ["prefill", "decode"])
def test_gate_is_the_published_formula(setup, mode):
    """Alone, since in a sum of 256 products 1.66 for 1.702 is less than the rounding."""
    setup = transparent(setup)
    gate = torch.linspace(-4.0, 9.0, setup.config.hidden_size).bfloat16()[None]
    routing = torch.zeros(1, setup.config.num_local_experts)
    routing[:, : setup.config.num_experts_per_tok] = 1 / setup.config.num_experts_per_tok

    actual = getattr(setup.build(Experts), mode)(setup.send(gate), setup.send(routing))

    clamped = gate.double().clamp(max=7.0)
    expected = clamped * torch.sigmoid(1.702 * clamped)
    # alpha * gate, up to 7 below zero, is rounded by at most 1/64: 1.6 % of its power of e. Three roundings follow.
    assert torch.allclose(TestFactory.copies(actual, setup.mesh_device)[0, 0].double(), expected, rtol=0.02, atol=1e-3)

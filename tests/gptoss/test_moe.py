"""Which experts are loaded, where they lie, and how the chosen ones are shared out."""

from __future__ import annotations

import pytest
import torch
import ttnn

from gptoss.component import place
from gptoss.mesh_config import MeshConfig, MeshConfigError
from gptoss.moe.expert_bank import WholeExpertBank
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

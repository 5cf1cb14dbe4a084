"""Setting up a test: what is offered, what is refused, what is recorded."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import ttnn

from gptoss.component import place
from gptoss.config import ConfigError, GptOssConfig
from gptoss.testing.bench import Bench, bench_of, bind
from gptoss.testing.comparison import Limits
from gptoss.testing.factory import Setup, TestFactory
from gptoss.weights import DummyWeights, writer
from gptoss.weights.checkpoint import Checkpoint, OtherModelError
from gptoss.weights.tensor_cache import at
from meshsweep.matrix import Floor

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_local_experts": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": 96,
}


BOUNDS_OF_TOKENS = Floor(component="generation", dtype="bfloat4_b", scale=None, mesh=None, top1=0.9, top5=1.0)


def small_bench(**changes):
    splits = {"decode": {"tp": 4, "ep": 2, "sp": 1}, "prefill": {"tp": 4, "ep": 1, "sp": 2}}
    return Bench(
        **({"mesh": "2x4", "dtype": "bfloat4_b", "scale": "small", "config": SMALL, "layers": 1} | splits | changes)
    )


def test_keys_and_attributes_are_the_same(mesh):
    setup = TestFactory.setup_test(mesh)

    for key in ("config", "mesh_config", "state_dict", "ccl_manager", "dtype", "mesh_device", "layers", "reference"):
        assert setup[key] is getattr(setup, key)


def test_unknown_key_lists_the_valid_ones(mesh):
    with pytest.raises(KeyError, match="setup has no 'weights'; choose one of mesh_device, config, mesh_config,"):
        TestFactory.setup_test(mesh)["weights"]


def test_override_changes_config_and_weights(mesh):
    setup = TestFactory.setup_test(mesh, hidden_size=128, layers=1, dtype=ttnn.bfloat4_b)

    assert setup.config.hidden_size == 128
    assert setup.state_dict["model.norm.weight"].shape == (128,)
    assert (setup.layers, setup.dtype) == (1, ttnn.bfloat4_b)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"num_experts": 8}, "setup_test: GptOssConfig has no field 'num_experts'; did you mean num_local_experts"),
        ({"use_real_weights": True}, "setup_test: GptOssConfig has no field 'use_real_weights'; choose one of"),
    ],
)
def test_unknown_override_is_refused(mesh, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        TestFactory.setup_test(mesh, **override)


def test_unbound_mesh_gets_the_tiny_model(mesh):
    setup = TestFactory.setup_test(mesh)

    assert (setup.config.hidden_size, setup.layers, setup.dtype) == (256, 2, ttnn.bfloat8_b)
    assert bench_of(mesh).mesh == "2x4"


def test_bound_bench_is_found_by_the_device_and_forgotten(mesh):
    outer, inner = small_bench(), small_bench(layers=3)

    with bind(mesh, outer):
        with bind(mesh, inner):
            assert bench_of(mesh) is inner
        assert bench_of(mesh) is outer
        setup = TestFactory.setup_test(mesh)
    assert (setup.config.hidden_size, setup.dtype) == (64, ttnn.bfloat4_b)
    assert bench_of(mesh).scale == "tiny"


def test_floor_and_numbers_of_a_component_are_recorded(mesh):
    recorded = {}
    bench = small_bench(floor={"mlp": Limits(pcc=0.9, max_error=0.5)}.__getitem__, record=recorded.__setitem__)
    host = torch.randn(32, 64)

    with bind(mesh, bench):
        verdict = TestFactory.compare_tensors([host] * 8, host, mesh, component="mlp")

    assert verdict
    assert recorded == {
        "pcc.mlp": pytest.approx(1.0),
        "max_error.mlp": 0.0,
        "rms_error.mlp": 0.0,
        "slope_error.mlp": 0.0,
        "floor.mlp": 0.9,
    }


def test_component_of_tokens_has_no_floor_for_values(mesh):
    host = torch.randn(32, 64)
    bench = small_bench(floor=lambda component: BOUNDS_OF_TOKENS)

    with bind(mesh, bench), pytest.raises(ValueError, match="component 'generation' has a floor that bounds no pcc"):
        TestFactory.compare_tensors([host] * 8, host, mesh, component="generation")


def test_near_ties_of_a_router_are_recorded(mesh):
    recorded = {}
    scores = torch.tensor([[1.0, 0.999, -1.0], [2.0, 1.0, 0.0]])
    weights = [torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])] * 8

    with bind(mesh, small_bench(record=recorded.__setitem__)):
        assert not TestFactory.compare_experts(weights, scores, mesh, k=1, component="router")
        assert TestFactory.compare_experts(weights, scores, mesh, k=1, component="router", near_ties=1)

    assert recorded == {"near_ties.router": 1}


def test_shares_of_tokens_are_recorded_and_held(mesh):
    recorded, tokens = {}, torch.tensor([1, 2, 3])
    logits = torch.nn.functional.one_hot(torch.tensor([5, 1, 2, 0]), 8).float()[None, None]
    bench = small_bench(floor=lambda component: BOUNDS_OF_TOKENS, record=recorded.__setitem__)

    with bind(mesh, bench):
        verdict = TestFactory.compare_generation([place(mesh, logits)], tokens, mesh, component="generation")

    assert not verdict
    assert recorded["top1.generation"] == pytest.approx(2 / 3)


def test_verdict_names_component_cell_and_seed(mesh):
    torch.manual_seed(77)
    host = torch.randn(32, 64)
    with bind(mesh, small_bench(floor=lambda component: Limits(pcc=0.9, max_error=0.5))):
        verdict = TestFactory.compare_tensors([host.flip(0)] * 8, host, mesh, component="mlp")

    assert not verdict
    assert str(verdict).endswith("(mlp, bfloat4_b, 2x4, small, seed 77)")


def test_verdict_tells_what_the_comparison_is_about(mesh):
    torch.manual_seed(77)
    host = torch.randn(32, 64)

    verdict = TestFactory.compare_tensors([host] * 8, host, mesh, about="layer 3")

    assert str(verdict).endswith("(tensor, bfloat8_b, 2x4, tiny, seed 77, layer 3)")


def test_threshold_of_the_call_wins(mesh):
    host = torch.randn(64, 64)
    near = [host + 0.01 * torch.randn(64, 64)] * 8

    assert TestFactory.compare_tensors(near, host, mesh, 0.999)
    assert not TestFactory.compare_tensors(near, host, mesh, 0.9999999)


def test_waived_values_are_counted_only(mesh):
    recorded = []
    with bind(mesh, small_bench(values=False, record=lambda *pair: recorded.append(pair))):
        for _ in range(2):
            assert TestFactory.compare_tensors([torch.zeros(4, 4)] * 8, torch.ones(4, 4), mesh, component="mlp")

    assert recorded == [("waived", 1), ("waived", 2)]


def test_waived_choices_are_counted_only(mesh):
    recorded, tokens = [], torch.tensor([1])
    nothing, logits = [torch.zeros(1, 4)] * 8, place(mesh, torch.zeros(1, 1, 1, 8))
    with bind(mesh, small_bench(values=False, record=lambda *pair: recorded.append(pair))):
        experts = TestFactory.compare_experts(nothing, torch.ones(1, 4), mesh, k=2, component="router")
        generation = TestFactory.compare_generation([logits], tokens, mesh, component="generation")

    assert (bool(experts), bool(generation)) == (True, True)
    assert recorded == [("waived", 1), ("waived", 2)]


def test_wrong_shape_is_told_where_values_are_waived(mesh):
    recorded = {}
    with bind(mesh, small_bench(values=False, record=recorded.__setitem__)):
        verdict = TestFactory.compare_tensors([torch.zeros(4, 5)] * 8, torch.ones(4, 4), mesh, component="mlp")

    assert not verdict
    assert "device (0, 0): shape [4, 5], expected [4, 4]" in str(verdict)
    assert "waived" not in recorded


def test_checkpoint_weights_reach_the_setup(mesh, tmp_path):
    recorded = []
    bench = small_bench(checkpoint=tmp_path, record=lambda *pair: recorded.append(pair))
    with bind(mesh, replace(bench, checkpoint=None)):
        made = TestFactory.setup_test(mesh).state_dict
    writer.write(tmp_path, GptOssConfig(**bench.config), made, packed=True)

    with bind(mesh, bench):
        setup = TestFactory.setup_test(mesh)
        changed = TestFactory.setup_test(mesh, hidden_size=96)

    assert isinstance(setup.state_dict, Checkpoint)
    assert isinstance(changed.state_dict, DummyWeights), "a checkpoint has weights of its own sizes only"
    made_up = ("weights", "made up, seed 0")
    assert recorded == [made_up, ("weights", setup.state_dict.source), made_up]


@pytest.mark.parametrize(
    ("scales", "remedy"),
    [
        ({"small": SMALL, "smaller": SMALL | {"vocab_size": 64}}, "run with --scale smaller"),
        ({"small": SMALL}, "declare a scale of its sizes in matrix/scales.toml"),
    ],
)
def test_checkpoint_of_another_scale_is_refused(mesh, tmp_path, scales, remedy):
    config = GptOssConfig(**SMALL | {"vocab_size": 64})
    writer.write(tmp_path, config, DummyWeights(config))

    with bind(mesh, small_bench(checkpoint=tmp_path, scales=scales)), pytest.raises(OtherModelError) as caught:
        TestFactory.setup_test(mesh)

    assert str(caught.value).splitlines() == [
        f"{tmp_path}/config.json: vocab_size expected 96, found 64",
        f"{tmp_path} is not of the cell's scale small; {remedy}",
    ]


def test_weights_have_the_cache_of_the_bench(mesh, tmp_path):
    with bind(mesh, small_bench(weight_cache=tmp_path)):
        assert TestFactory.setup_test(mesh).state_dict.cache is at(tmp_path)
    with bind(mesh, small_bench()):
        assert TestFactory.setup_test(mesh).state_dict.cache is None


def test_routing_that_is_drawn_is_a_routing(mesh):
    setup = TestFactory.setup_test(mesh)

    routing = setup.draws.routing(32, pool=8)

    assert routing.shape == (32, 32)
    assert (routing != 0).sum(dim=1).tolist() == [4] * 32
    assert 4 < (routing != 0).any(dim=0).sum() <= 8
    assert torch.allclose(routing.sum(dim=1), torch.ones(32), atol=0.02)


def test_decided_tokens_have_a_clear_choice(mesh):
    setup = TestFactory.setup_test(mesh)

    x = setup.draws.decided(40, layer=0)

    scores = setup.reference.router_logits(x, 0).sort(descending=True).values
    assert x.shape == (40, 256)
    assert (scores[:, 3] - scores[:, 4]).min() > 0.1


@pytest.mark.parametrize(("window", "length"), [(16, 32), (128, 160), (120, 160), (8, 32)])
def test_prompt_outgrows_the_window(mesh, window, length):
    assert TestFactory.setup_test(mesh, sliding_window=window).length == length


def test_setup_is_frozen(mesh):
    setup = TestFactory.setup_test(mesh)

    assert isinstance(setup, Setup)
    with pytest.raises(AttributeError):
        setup.layers = 3

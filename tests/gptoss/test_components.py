"""Parts of the model on a 2x4 mesh: what they load, refuse and leave alone."""

from __future__ import annotations

import pytest
import torch
import ttnn

from gptoss.attention import Attention
from gptoss.attention.kv_cache import KVCache
from gptoss.ccl import CCLManager
from gptoss.component import place
from gptoss.config import GptOssConfig
from gptoss.layer import DecoderLayer
from gptoss.mesh_config import MeshConfigError
from gptoss.model import Model
from gptoss.moe.expert_bank import ExpertBank
from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.rms_norm import RMSNorm
from gptoss.testing.bench import TINY
from gptoss.testing.comparison import copies
from gptoss.weights import DummyWeights
from tests.test_factory import TestFactory

SHAPE = (2, 4)


@pytest.fixture
def setup(mesh):
    return TestFactory.setup_test(mesh, num_local_experts=8)


def test_sizes_that_do_not_divide_stop_the_build(mesh):
    setup = TestFactory.setup_test(mesh)
    setup.config.num_key_value_heads = 2

    with pytest.raises(MeshConfigError, match="num_key_value_heads=2 does not divide by tp=4"):
        setup.build(Attention)


def test_several_sequences_are_refused(setup):
    x = ttnn.from_torch(torch.randn(2, 32, 256), device=setup.mesh_device, layout=ttnn.TILE_LAYOUT)

    with pytest.raises(ValueError, match=r"input of shape \[2, 32, 256\] holds several sequences; pass one"):
        setup.build(RMSNorm)(x)


def test_fused_projection_holds_each_columns_own_heads(setup):
    attention = setup.build(Attention, dtype=ttnn.bfloat16)
    q = setup.state_dict["model.layers.0.self_attn.q_proj.bias"]
    v = setup.state_dict["model.layers.0.self_attn.v_proj.bias"]

    shards = [ttnn.to_torch(shard).flatten() for shard in ttnn.get_device_tensors(attention.qkv_bias)]

    for column, shard in enumerate(shards[:4]):
        own = q.chunk(4)[column]
        assert torch.equal(shard[: len(own)].float().sort().values, own.sort().values)
        assert torch.equal(shard[-64:].float(), v.chunk(4)[column])
        assert torch.equal(shards[4 + column], shard), "rows hold copies"


def test_weights_are_rounded_after_they_are_cut(setup):
    # 36 columns a device: blocks of 16 that began before the cut would straddle two of them.
    host = setup.draws.hidden(32)[None, None, :, : 4 * 36]

    split = setup.build(RMSNorm).split(host, -1, ttnn.bfloat4_b)

    for shard, part in zip(ttnn.get_device_tensors(split), 2 * host.chunk(4, dim=-1), strict=True):
        alone = ttnn.from_torch(part.contiguous(), dtype=ttnn.bfloat4_b, layout=ttnn.TILE_LAYOUT)
        assert torch.equal(ttnn.to_torch(shard), ttnn.to_torch(alone))


def test_only_column_zero_adds_the_output_bias(setup):
    shards = ttnn.get_device_tensors(setup.build(Attention).out_bias)

    assert [bool(ttnn.to_torch(shard).any()) for shard in shards] == [True, False, False, False] * 2


def test_output_is_padded_to_whole_tiles_a_device(mesh):
    setup = TestFactory.setup_test(mesh, hidden_size=288)

    attention = setup.build(Attention)

    assert list(attention.out.shape)[-1] == 4 * 96
    assert list(attention.prefill(setup.send(setup.draws.hidden(32))).shape) == [1, 1, 32, 288]


def test_sinks_are_stored_over_the_scale(setup):
    attention = setup.build(Attention)
    sinks = setup.state_dict["model.layers.0.self_attn.sinks"].float() * 32**0.5

    prefill = copies(attention.sinks, SHAPE, (None, 1))[0, 0].flatten()
    decode = copies(attention.decode_sinks, SHAPE, (None, 0))[0, 0]

    assert torch.allclose(prefill, sinks, rtol=0.01)
    assert torch.allclose(decode[:, 0], sinks, rtol=0.01)
    assert decode.shape == (16, 32)


@pytest.mark.parametrize(("layer", "window"), [(0, 16), (1, None), (2, 16)])
def test_even_layers_slide(mesh, layer, window):
    setup = TestFactory.setup_test(mesh, num_hidden_layers=3)

    assert setup.build(Attention, layer=layer).window == window


def test_cache_takes_the_weights_dtype_or_eight_bits(setup):
    kept = {dtype: setup.build(Attention, dtype=dtype).new_cache(32).dtype for dtype in DTYPES}

    assert list(kept.values()) == [ttnn.bfloat16, ttnn.bfloat8_b, ttnn.bfloat8_b]


DTYPES = (ttnn.bfloat16, ttnn.bfloat8_b, ttnn.bfloat4_b)


def test_cache_refuses_what_it_cannot_hold(setup):
    cache = KVCache(setup.mesh_device, setup.config, setup.mesh_config, length=40)
    prompt = ttnn.from_torch(torch.zeros(1, 2, 96, 32), device=setup.mesh_device, layout=ttnn.TILE_LAYOUT)

    assert cache.length == 64
    with pytest.raises(ValueError, match="position 64 of user 0: the cache ends at 64"):
        cache.positions(64)
    with pytest.raises(ValueError, match="prompt of 96 tokens exceeds cache of 64"):
        cache.fill(prompt, prompt)


def test_prompt_and_tokens_fill_the_same_cache(setup):
    attention = setup.build(Attention, dtype=ttnn.bfloat16, layer=1)
    x = setup.draws.hidden(36)
    whole, stepped = attention.new_cache(64), attention.new_cache(64)

    attention.prefill(setup.send(x), cache=whole)
    attention.prefill(setup.send(x[:32]), cache=stepped)
    for t in range(32, 36):
        attention.decode(setup.send(x[t : t + 1]), t, stepped)

    for one, other in ((whole.keys, stepped.keys), (whole.values, stepped.values)):
        expected = copies(one, SHAPE, (None, 1))[0, 0]
        actual = copies(other, SHAPE, (None, 1))[0, 0]
        assert torch.allclose(actual, expected, atol=0.05)
        assert actual[:, :, 32:36].abs().amax(dim=-1).min() > 0.1, "every position was written"
        assert actual[:, :, 36:].abs().max() == 0, "nothing was written beyond"


@pytest.mark.parametrize(("inner", "outer"), [(256, 256), (288, 288), (36, 288), (2880, 360), (360, 2880)])
def test_working_cores_fill_a_rectangle(setup, inner, outer):
    program = setup.build(Experts)._program(inner, outer)
    grid, tiles = program.compute_with_storage_grid_size, -(-outer // 32)

    assert grid.x * grid.y * program.per_core_N == tiles
    assert -(-inner // 32) % program.in0_block_w == 0


def test_streamed_experts_agree_with_resident_ones(setup):
    x, routing = setup.draws.hidden(40), setup.draws.routing(40, pool=8)
    sent = setup.send(x), setup.send(routing)

    resident = setup.build(Experts)
    streamed = setup.build(Experts, limit_bytes=0)

    assert resident.bank.resident is not None
    assert streamed.bank.resident is None
    assert streamed.bank.set_size == 4
    expected = copies(resident.prefill(*sent), SHAPE)[0, 0]
    actual = copies(streamed.prefill(*sent), SHAPE)[0, 0]
    # Two sets are rounded once more, when they are added.
    assert (actual - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("dtype", [ttnn.bfloat16, ttnn.bfloat8_b, ttnn.bfloat4_b])
def test_experts_written_one_by_one_are_the_stack(setup, monkeypatch, dtype):
    stacked = setup.build(Experts, dtype=dtype).bank.resident
    monkeypatch.setattr("gptoss.moe.expert_bank.RESIDENT_LIMIT_BYTES", 0)
    sizes = set()
    real = ExpertBank._stack
    monkeypatch.setattr(
        ExpertBank, "_stack", lambda self, name, ids: sizes.add((name[-5:], len(ids))) or real(self, name, ids)
    )
    written = setup.build(Experts, dtype=dtype).bank.resident

    assert (("_proj", 8) in sizes) == (dtype == ttnn.bfloat4_b), "the host never held a stack of matrices"
    for name in ("gate", "up", "down"):
        one, other = (copies(getattr(held, name), SHAPE) for held in (stacked, written))
        assert all(torch.equal(one[at], other[at]) for at in one)
    ttnn.deallocate(written.gate)
    assert not written.gate.is_allocated()


def test_streamed_experts_without_any_choice_still_answer(setup):
    x, nothing = setup.send(setup.draws.hidden(32)), setup.send(torch.zeros(32, 8))

    output = setup.build(Experts, limit_bytes=0).prefill(x, nothing)

    assert copies(output, SHAPE)[0, 0].abs().max() == 0


def test_prompt_that_rows_do_not_divide_is_padded_and_cut(setup):
    mlp = setup.build(MLP)
    x = setup.draws.decided(31, layer=0)

    output = mlp.prefill(setup.send(x))

    assert list(output.shape) == [1, 1, 31, 256]
    assert TestFactory.compare_tensors(output, setup.reference.mlp(x, 0), setup.mesh_device, component="mlp")


def test_model_builds_as_many_layers_as_asked(setup):
    assert len(setup.build(Model, layers=1).layers) == 1
    assert len(setup.build(Model).layers) == setup.config.num_hidden_layers == 2


def test_biases_can_be_absent(mesh):
    setup = TestFactory.setup_test(mesh, attention_bias=False)
    attention = setup.build(Attention)
    x = setup.draws.hidden(32)

    assert attention.qkv_bias is attention.out_bias is None
    actual = attention.prefill(setup.send(x))
    assert TestFactory.compare_tensors(actual, setup.reference.attention(x, 0), mesh)


# As ttnn 0.81.1 counted on a mock T3K: bytes per DRAM bank with the layer, then its cache and an input, and without
# its experts.
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (ttnn.bfloat16, [323712, 327808, 329856, 39040]),
        (ttnn.bfloat8_b, [191232, 193408, 195456, 28480]),
        (ttnn.bfloat4_b, [120576, 122752, 124800, 23872]),
    ],
)
def test_layer_takes_the_memory_that_ttnn_gives_it(mesh, dtype, expected):
    config = GptOssConfig(**TINY)

    def used():
        return ttnn.get_memory_view(mesh, ttnn.BufferType.DRAM).total_bytes_allocated_per_bank

    layer = DecoderLayer(mesh, config, DummyWeights(config), CCLManager(mesh), dtype=dtype)
    found = [used()]
    cache = layer.attention.new_cache(64)
    found.append(used())
    x = place(mesh, torch.randn(1, 1, 32, config.hidden_size))
    found.append(used())
    layer.mlp.experts.bank.resident.release()

    assert [*found, used()] == expected
    assert cache.keys.is_allocated()
    assert x.is_allocated()

"""Every one of the seventeen tests can fail: one deliberate defect each, and a few more.

Each row runs a test's own body twice on one mesh, in bfloat8_b against the measured floors: as it is, which must pass,
and with a defect put into the model, which a comparison must refuse.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from functools import partial

import pytest
import torch
import ttnn

from gptoss.attention import Attention, rope
from gptoss.attention.kv_cache import KVCache
from gptoss.ccl import CCLManager
from gptoss.component import Component, pad_last, place, tile_up
from gptoss.model import Model
from gptoss.moe.expert_bank import ExpertBank
from gptoss.moe.experts import Experts
from gptoss.moe.router import TopKRouter
from gptoss.rms_norm import RMSNorm
from gptoss.testing.factory import Bench, bind
from meshsweep.cell import Cell
from tests.unit import test_core_components, test_integration, test_utilities

SEED = 20


def wrap(patch, owner, name, change):
    """Replace a method by ``change(original)``."""
    patch.setattr(owner, name, change(getattr(owner, name)))


def swap_experts(patch):
    """Give each expert the down matrix of its neighbour."""
    wrap(
        patch,
        ExpertBank,
        "_stack",
        lambda real: (
            lambda self, name, ids: real(self, name, tuple(e ^ 1 for e in ids) if name == "down_proj" else ids)
        ),
    )


def swap_gate_and_up(patch):
    wrap(patch, Experts, "_swiglu", lambda real: lambda self, gate, up: real(self, up, gate))


def drop_clamp(patch):
    def unclamped(self, gate, up):
        gated = ttnn.multiply(gate, ttnn.sigmoid(ttnn.multiply(gate, self.config.swiglu_alpha)))
        return ttnn.multiply(ttnn.add(up, 1.0), gated)

    patch.setattr(Experts, "_swiglu", unclamped)


def drop_router_bias(patch):
    def change(real):
        def build(self, *args, **kwargs):
            real(self, *args, **kwargs)
            self.bias = ttnn.zeros_like(self.bias)

        return build

    wrap(patch, TopKRouter, "__init__", change)


def set_window(patch, change):
    def altered(real):
        def build(self, *args, **kwargs):
            real(self, *args, **kwargs)
            self.window = change(self)

        return build

    wrap(patch, Attention, "__init__", altered)


def widen_window(patch):
    set_window(patch, lambda attention: attention.window and attention.window + 1)


def slide_odd_layers(patch):
    set_window(patch, lambda attention: attention.config.sliding_window if attention.layer % 2 else None)


def use_other_eps(patch):
    def change(real):
        def prefill(self, x):
            self.config = self.config.replace(rms_norm_eps=1e-6)
            return real(self, x)

        return prefill

    wrap(patch, RMSNorm, "prefill", change)


def drop_row_reduce(patch):
    wrap(patch, CCLManager, "all_reduce", lambda real: lambda self, x, axis: x if axis == 0 else real(self, x, axis))


def drop_column_reduce(patch):
    wrap(patch, CCLManager, "all_reduce", lambda real: lambda self, x, axis: x if axis == 1 else real(self, x, axis))


def reduce_over_the_other_axis(patch):
    wrap(patch, CCLManager, "all_reduce", lambda real: lambda self, x, axis: real(self, x, 1 - axis))


def bias_every_column(patch):
    patch.setattr(Component, "bias_once", lambda self, host: self.split(torch.cat([host] * self.tp, dim=-1), -1))


def hard_code_experts(patch):
    """Read the experts as if there were sixteen, whatever the config says."""
    wrap(patch, ExpertBank, "_stack", lambda real: lambda self, name, ids: real(self, name, tuple(e % 16 for e in ids)))


def hard_code_expert_parallelism(patch):
    """Split four experts over four rows, as several published versions did on every mesh."""
    wrap(patch, ttnn, "moe_routing_remap", lambda real: lambda weights, *given: real(weights, 4, 4, 0))


def write_cache_one_late(patch):
    def change(real):
        def update(self, keys, values, position):
            index = int(ttnn.to_torch(ttnn.get_device_tensors(position)[0])) + 1
            real(self, keys, values, self.positions(index))

        return update

    wrap(patch, KVCache, "update", change)


def pad_vocabulary_after_sharding(patch):
    def load(self):
        shards = self.state_dict["lm_head.weight"].T.chunk(self.tp, dim=-1)
        width = tile_up(shards[0].shape[-1])
        return self.split(torch.cat([pad_last(shard, width) for shard in shards], dim=-1)[None, None], -1, self.dtype)

    patch.setattr(Model, "_load_head", load)


def load_first_layer_everywhere(patch):
    wrap(patch, Component, "weight", lambda real: lambda self, name: self.state_dict[f"model.layers.0.{name}"])


def keep_half_split_order(patch):
    patch.setattr("gptoss.attention.attention.pair_order", lambda heads, head_dim: torch.arange(heads * head_dim))


def unscale_rope(patch):
    def change(real):
        return lambda config, positions: tuple(
            table / (0.1 * torch.tensor(config.rope_scaling_factor).log() + 1) for table in real(config, positions)
        )

    wrap(patch, rope, "tables", change)


def leave_sinks_unscaled(patch):
    def change(real):
        def load(self):
            scale, self.scale = self.scale, 1.0
            real(self)
            self.scale = scale

        return load

    wrap(patch, Attention, "_load_sinks", change)


def join_projections_without_reordering(patch):
    patch.setattr(Attention, "_interleave", lambda self, parts: torch.cat(parts, dim=-1))


def leave_last_device_stale(patch):
    """Let the last device keep zeros where the last block should have arrived."""

    def change(real):
        def gather(self, x, dim, axis):
            joined = real(self, x, dim, axis)
            hosts = [ttnn.to_torch(shard).float() for shard in ttnn.get_device_tensors(joined)]
            hosts[-1][..., -32:] = 0.0
            rows, cols = self.mesh_device.shape[0], self.mesh_device.shape[1]
            grid = torch.cat(hosts).reshape(rows, cols, *hosts[0].shape[2:])
            return place(self.mesh_device, grid, dims=(0, 1))

        return gather

    wrap(patch, CCLManager, "all_gather", change)


def keep_padding(patch):
    """Cut the sum to the hidden size on the wrong side of the padding."""

    def output(self, joined):
        y = ttnn.linear(joined, self.out, bias=self.out_bias)
        y = self.ccl.all_gather(self.ccl.reduce_scatter(y, 3, 1), 3, 1)
        width = y.shape[3]
        return ttnn.slice(y, [0, 0, 0, width - self.config.hidden_size], [1, 1, y.shape[2], width])

    patch.setattr(Attention, "_output", output)


def weigh_sets_by_the_first_columns(patch):
    def first(self, routing, experts):
        return ttnn.slice(routing, [0, 0, 0, 0], [1, 1, routing.shape[2], len(experts.ids)])

    patch.setattr(Experts, "_of_set", first)


def rotate_one_late(patch):
    wrap(patch, rope.Rope, "row", lambda real: lambda self, position: real(self, position + 1))


CORE, INTEGRATION, UTILITIES = test_core_components, test_integration, test_utilities

ROWS = [
    # One for each test.
    (CORE.test_experts_core, swap_experts, "1x8", "tiny"),
    (CORE.test_topk_router, drop_router_bias, "2x4", "tiny"),
    (CORE.test_attention_core, widen_window, "1x4", "tiny"),
    (CORE.test_rms_norm, use_other_eps, "1x1", "tiny"),
    (CORE.test_full_mlp_pipeline, drop_row_reduce, "2x4", "tiny"),
    (CORE.test_mesh_flexibility, bias_every_column, "1x8", "tiny"),
    (CORE.test_model_scale_flexibility, hard_code_experts, "1x2", "tiny"),
    (INTEGRATION.test_decoder_layer_integration, write_cache_one_late, "4x8", "tiny"),
    (INTEGRATION.test_model_construction, pad_vocabulary_after_sharding, "1x8", "tiny-padded"),
    (INTEGRATION.test_mesh_communication_patterns, reduce_over_the_other_axis, "2x4", "tiny"),
    (INTEGRATION.test_model_variant_compatibility, slide_odd_layers, "4x4", "tiny"),
    (INTEGRATION.test_basic_functionality_preserved, keep_half_split_order, "1x8", "tiny"),
    (UTILITIES.test_rope_embeddings, unscale_rope, "1x1", "tiny"),
    (UTILITIES.test_scaled_dot_product_attention, leave_sinks_unscaled, "2x4", "tiny"),
    (UTILITIES.test_attention_head_flexibility, join_projections_without_reordering, "1x4", "tiny"),
    (UTILITIES.test_minimal_inference_pipeline, leave_last_device_stale, "2x4", "tiny"),
    (UTILITIES.test_memory_efficiency, weigh_sets_by_the_first_columns, "4x8", "tiny"),
    # Other ways to go wrong.
    (CORE.test_experts_core, swap_gate_and_up, "1x1", "tiny"),
    (CORE.test_experts_core, drop_clamp, "1x8", "tiny"),
    (CORE.test_full_mlp_pipeline, drop_column_reduce, "1x8", "tiny"),
    (CORE.test_full_mlp_pipeline, hard_code_expert_parallelism, "2x4", "tiny"),
    (CORE.test_attention_core, keep_padding, "1x8", "tiny-padded"),
    (CORE.test_attention_core, rotate_one_late, "1x2", "tiny"),
    (INTEGRATION.test_model_construction, load_first_layer_everywhere, "1x4", "tiny"),
]


def cell_bench(matrix, mesh, scale):
    cell, declared = Cell(mesh=mesh, dtype="bfloat8_b", scale=scale), matrix.meshes[mesh]
    return Bench(
        mesh=mesh,
        dtype=cell.dtype,
        scale=scale,
        config=matrix.scales[scale].config,
        layers=matrix.scales[scale].layers,
        decode=asdict(declared.decode),
        prefill=asdict(declared.prefill),
        floor=partial(matrix.floor, cell=cell),
    )


@pytest.mark.parametrize(
    ("test", "defect", "mesh", "scale"), ROWS, ids=[f"{test.__name__}-{defect.__name__}" for test, defect, _, _ in ROWS]
)
def test_defect_fails_the_test(matrix, open_mesh, monkeypatch, record_property, test, defect, mesh, scale):
    shape = tuple(map(int, mesh.split("x")))
    with open_mesh(*shape) as device, bind(device, cell_bench(matrix, mesh, scale)):
        torch.manual_seed(SEED)
        test(device, SEED)
        defect(monkeypatch)
        torch.manual_seed(SEED)

        with pytest.raises((AssertionError, RuntimeError)) as caught:
            test(device, SEED)

    record_property("refused", str(caught.value).splitlines()[0])
    assert re.search(r"PCC|max error|differs from|padding|moe_routing_remap", str(caught.value))


def test_every_test_of_the_guide_has_a_defect():
    declared = [
        function
        for module in (CORE, INTEGRATION, UTILITIES)
        for name, function in vars(module).items()
        if name.startswith("test_")
    ]

    assert len(declared) == 17
    assert set(declared) <= {test for test, *_ in ROWS}

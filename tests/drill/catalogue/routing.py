"""Faults of the router and of who computes which expert."""

from __future__ import annotations

import torch
import ttnn

from gptoss.moe import router as module
from gptoss.moe.experts import Experts
from gptoss.moe.router import TopKRouter
from tests.drill.fault import fault
from tests.drill.shards import altered, values_of


@fault("1x1")
def drop_router_bias(patch):
    """The router scores experts without its bias."""

    @patch.op(module, "linear")
    def _(real, *tensors, bias, **options):
        return real(*tensors, **options)


@fault("2x4")
def name_the_next_expert(patch):
    """Expert ids are off by one: each weight goes to the expert behind the chosen one."""

    @patch.op(module, "topk")
    def _(real, logits, **options):
        values, experts = real(logits, **options)
        return values, altered(experts, lambda ids: (ids + 1) % logits.shape[-1])


@fault("1x1")
def sort_weights_but_not_ids(patch):
    """The best K come with their values sorted and their ids in index order: the two no longer belong together."""

    @patch.op(module, "topk")
    def _(real, logits, **options):
        values, experts = real(logits, **options)
        return values, altered(experts, lambda ids: ids.sort(dim=-1).values)


@fault("1x1")
def take_the_next_best_expert(patch):
    """The last of the K is the one that comes behind it, as a top-k that is not sorted before it is cut can give."""

    @patch.op(module, "topk")
    def _(real, logits, *, k, **options):
        def exchange(one, other):
            return altered(one, lambda chosen: torch.cat([chosen[..., :-1], values_of(other)[..., k, None]], dim=-1))

        found, more = real(logits, k=k, **options), real(logits, k=2 * k, **options)
        return tuple(map(exchange, found, more))


@fault("1x1")
def softmax_over_all_experts(patch):
    """Weights are the softmax over all experts at the chosen ones: they no longer add up to one."""

    @patch.op(module, "topk")
    def _(real, logits, **options):
        _, experts = real(logits, **options)
        weights, _ = real(ttnn.softmax(logits, dim=-1), **options)
        return weights, experts

    @patch.op(module, "softmax")
    def _(real, top, **options):
        return top


@fault("2x4")
def flush_small_weights(patch):
    """Routing weights below 1/32 become zero: chosen experts vanish."""

    @patch.op(module, "clamp")
    def _(real, weights, **bounds):
        return altered(real(weights, **bounds), lambda kept: kept.where(kept > 1 / 32, 0.0))


@fault("2x4", suite=("tests/layouts/test_moe.py",))
def let_a_weight_round_to_zero(patch):
    """A chosen expert's weight that is too small for bfloat16 becomes zero: one expert fewer than the kernel counts on.

    Upstream's kernel hung on it, since it waits for K weights that are not zero.
    """

    @patch.op(module, "clamp")
    def _(real, weights, **bounds):
        return weights


@fault("1x1")
def weigh_all_experts_alike(patch):
    """Each chosen expert counts a quarter, whatever the router said."""

    @patch.op(module, "softmax")
    def _(real, top, **options):
        return altered(real(top, **options), lambda weights: weights * 0 + 1 / weights.shape[-1])


@fault("1x1")
def keep_router_in_four_bits(patch):
    """The router's weights are stored in the experts' format, where near scores change places."""

    @patch.around(TopKRouter, "replicate")
    def _(real, self, host, *args):
        is_bias = host.shape[-2] == 1
        return real(self, host, *(args if is_bias else [ttnn.bfloat4_b]))


@fault("2x4")
def hard_code_expert_parallelism(patch):
    """Four experts are shared out over four rows whatever the mesh, as several published versions did: wrong on 2x4."""

    @patch.around(ttnn, "moe_routing_remap")
    def _(real, weights, *given):
        return real(weights, 4, 4, 0)


@fault("2x4")
def every_row_computes_every_expert(patch):
    """The chosen experts are not shared out: each row computes all of them, and the sum counts them twice."""

    @patch.around(Experts, "_own_share")
    def _(real, self, routing):
        return routing


@fault("2x4")
def all_rows_take_the_first_share(patch):
    """Every row keeps the first K / EP weights: the others are computed nowhere."""

    @patch.around(ttnn, "moe_routing_remap")
    def _(real, *given):
        return altered(real(*given), lambda weights: weights[:1].expand_as(weights))

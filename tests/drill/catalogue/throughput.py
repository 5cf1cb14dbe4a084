"""Faults of the throughput layout, where tokens travel to whole experts; and of several users in the other one."""

from __future__ import annotations

import torch
import ttnn

from gptoss.ccl import CCLManager
from gptoss.moe import mlp
from gptoss.moe.expert_bank import WholeExpertBank
from gptoss.moe.experts import Experts
from gptoss.moe.router import Choice, TopKRouter
from gptoss.moe.throughput import ThroughputExperts
from tests.drill.fault import fault
from tests.drill.shards import altered

ROWS, COLUMNS = 0, 1
SUITE = ("tests/layouts/test_moe.py",)


@fault("2x4", suite=SUITE)
def map_experts_by_column(patch):
    """The mapping counts devices column by column, the experts lie on them row by row."""

    @patch.around(ThroughputExperts, "_mapping")
    def _(real, self):
        rows, cols = self.mesh_config.shape
        order = torch.arange(rows * cols).view(rows, cols).T.flatten()
        return altered(real(self), lambda owners: owners[..., order])


@fault("2x4", suite=SUITE)
def place_experts_by_column(patch):
    """Whole experts lie on the devices column by column, the mapping counts row by row."""

    @patch.around(WholeExpertBank, "_arranged")
    def _(real, self, host):
        rows, cols = self.mesh_config.shape
        order = torch.arange(rows * cols).view(cols, rows).T.flatten()
        devices = host.reshape(1, rows * cols, -1, *host.shape[2:])[:, order]
        return real(self, devices.reshape(host.shape))


@fault("2x4", suite=SUITE)
def leave_answers_of_columns_apart(patch):
    """Each column keeps the answers of its own experts: the all-reduce over columns is left out."""

    @patch.around(CCLManager, "all_reduce")
    def _(real, self, x, axis):
        return x if axis == COLUMNS else real(self, x, axis)


@fault("2x4", suite=SUITE)
def combine_into_old_contents(patch):
    """The places of experts in other columns are not zeroed before answers come back: old contents are added up."""

    @patch.around(ttnn, "all_to_all_combine")
    def _(real, *tensors, output_tensor, **options):
        return real(*tensors, output_tensor=ttnn.add(output_tensor, 1.0), **options)


@fault("2x4", suite=SUITE)
def weigh_with_another_rows_weights(patch):
    """Each row weighs the answers by the weights of the row behind it."""

    @patch.around(TopKRouter, "choose")
    def _(real, self, x):
        choice = real(self, x)
        if not self.mesh_config.throughput:
            return choice
        return Choice(indices=choice.indices, weights=altered(choice.weights, lambda values: values.roll(1, dims=ROWS)))


@fault("2x4", suite=SUITE)
def dispatch_to_the_next_expert(patch):
    """Tokens are sent to the expert behind the one that they chose."""

    @patch.around(CCLManager, "dispatch")
    def _(real, self, tokens, indices, mapping, axis):
        return real(self, tokens, altered(indices, lambda ids: (ids + 1) % mapping.shape[2]), mapping, axis)


@fault("2x4", suite=SUITE)
def dispatch_along_columns(patch):
    """Tokens travel along the other cluster axis, where everybody has them already."""

    @patch.around(CCLManager, "dispatch")
    def _(real, self, tokens, indices, mapping, axis):
        return real(self, tokens, indices, mapping, 1 - axis)


@fault("2x4", suite=SUITE)
def add_down_bias_twice(patch):
    """Whole experts add the bias of their down projection twice."""

    @patch.around(ThroughputExperts, "_of_set")
    def _(real, self, x, experts):
        return ttnn.add(real(self, x, experts), experts.down_bias)


@fault("2x4", suite=SUITE)
def answer_in_another_order(patch):
    """A device's answers are rolled by one expert."""

    @patch.around(ThroughputExperts, "_answers")
    def _(real, self, x, choice):
        return altered(real(self, x, choice), lambda values: values.roll(1, dims=3))


@fault("1x8", suite=SUITE)
def weigh_with_another_columns_share(patch):
    """On one row each column weighs its experts by the routing weights of the column behind it."""

    @patch.around(CCLManager, "partition")
    def _(real, self, x, dim, axis):
        part = real(self, x, dim, axis)
        return altered(part, lambda values: values.roll(1, dims=COLUMNS)) if dim == 3 else part


@fault("2x4", suite=SUITE)
def compute_what_the_first_user_chose(patch):
    """Of several users only the first one's experts are computed."""

    @patch.around(ttnn, "max")
    def _(real, x, *args, **options):
        first = altered(x, lambda values: torch.cat([values[..., :1, :], values[..., 1:, :] * 0], dim=-2))
        return real(first, *args, **options)


@fault("2x4", suite=SUITE)
def add_rows_up_for_several_users(patch):
    """Rows are added up although each computed all experts of several users: the sum is as many times too large."""

    @patch.around(Experts, "decode")
    def _(real, self, x, routing):
        y = real(self, x, routing)
        return self.ccl.all_reduce(y, ROWS) if x.shape[2] > 1 and self.mesh_config.decode.ep > 1 else y


@fault("2x4", suite=SUITE)
def join_chunks_in_reverse(patch):
    """The chunks of a long prompt are joined last one first."""

    @patch.everywhere(mlp, "join")
    def _(real, parts, dim=2):
        return real(parts[::-1], dim)


@fault("2x4", suite=SUITE)
def rows_take_each_others_tokens(patch):
    """In prefill each row computes the tokens of the row behind it."""

    @patch.around(CCLManager, "partition")
    def _(real, self, x, dim, axis):
        part = real(self, x, dim, axis)
        return altered(part, lambda values: values.roll(1, dims=ROWS)) if dim == 2 else part

"""Faults of the experts: which weights they read, and what they make of gate and up."""

from __future__ import annotations

import torch
import ttnn

from gptoss.moe import feed_forward as module
from gptoss.moe.expert_bank import ExpertBank
from gptoss.moe.experts import Experts
from gptoss.moe.feed_forward import FeedForward
from gptoss.weights import base
from tests.drill.fault import fault


def with_swiglu(patch, swiglu):
    """Let the experts join gate and up as ``swiglu(config, gate, up)`` does."""

    @patch.around(FeedForward, "_swiglu")
    def _(real, self, gate, up):
        return swiglu(self.config, gate, up)


def gated(gate, up, alpha):
    """Return (up + 1) * gate * sigmoid(alpha * gate)."""
    return ttnn.multiply(ttnn.add(up, 1.0), ttnn.multiply(gate, ttnn.sigmoid(ttnn.multiply(gate, alpha))))


def clamped(config, gate, up):
    """Return both within the limit."""
    limit = config.swiglu_limit
    return ttnn.clamp(gate, max=limit), ttnn.clamp(up, min=-limit, max=limit)


@fault("1x1")
def swap_gate_and_up(patch):
    """Gate and up change places."""
    with_swiglu(patch, lambda config, gate, up: gated(*clamped(config, up, gate), config.swiglu_alpha))


@fault("1x8")
def drop_clamp(patch):
    """Gate and up are not clamped at the limit."""
    with_swiglu(patch, lambda config, gate, up: gated(gate, up, config.swiglu_alpha))


@fault("1x1")
def clamp_gate_alone(patch):
    """Gate is clamped, up is not."""
    with_swiglu(patch, lambda config, gate, up: gated(clamped(config, gate, up)[0], up, config.swiglu_alpha))


@fault("1x1")
def clamp_at_ten(patch):
    """The limit is 10, as a published description of this model says; it is 7."""

    @patch.op(module, "clamp")
    def _(real, x, **bounds):
        return real(x, **{name: bound * 10 / 7 for name, bound in bounds.items()})


@fault("1x1")
def use_plain_silu(patch):
    """Alpha is 1, as in SiLU; it is 1.702."""
    with_swiglu(patch, lambda config, gate, up: gated(*clamped(config, gate, up), 1.0))


@fault("1x1", suite=("tests/gptoss/test_moe.py",))
def round_alpha(patch):
    """Alpha is 1.66 for 1.702, which changes gate * sigmoid(alpha * gate) by 0.0065 at most."""
    with_swiglu(patch, lambda config, gate, up: gated(*clamped(config, gate, up), 1.66))


@fault("1x8")
def answer_two_per_cent_too_much(patch):
    """What the experts answer is 2 % too large, all of it."""

    @patch.around(Experts, "_weighted_sum")
    def _(real, self, *given):
        return ttnn.multiply(real(self, *given), 1.02)


@fault("1x1")
def forget_to_add_one_to_up(patch):
    """The product is up * gate * sigmoid, without the one that is added to up."""
    with_swiglu(
        patch,
        lambda config, gate, up: ttnn.subtract(
            gated(*clamped(config, gate, up), config.swiglu_alpha),
            gated(clamped(config, gate, up)[0], ttnn.zeros_like(up), config.swiglu_alpha),
        ),
    )


@fault("1x1")
def read_gate_and_up_as_halves(patch):
    """Gate and up are read as the halves of a matrix in which their columns alternate."""

    @patch.around(ExpertBank, "_stack")
    def _(real, self, name, ids):
        both = real(self, name, ids)
        return torch.stack(both.chunk(2, dim=-1), dim=-1).flatten(-2) if name.startswith("gate_up") else both


@fault("1x1")
def leave_down_transposed(patch):
    """Down matrices keep the published order of MXFP4 rows, [out, in]: at equal widths no shape tells."""

    @patch.around(ExpertBank, "_stack")
    def _(real, self, name, ids):
        found = real(self, name, ids)
        return found.transpose(-1, -2).contiguous() if name == "down_proj" else found


@fault("1x8")
def take_the_neighbours_down_matrix(patch):
    """Each expert gets the down matrix of its neighbour."""

    @patch.around(ExpertBank, "_stack")
    def _(real, self, name, ids):
        return real(self, name, tuple(e ^ 1 for e in ids) if name == "down_proj" else ids)


@fault("1x2")
def store_experts_in_reverse(patch):
    """Experts are stored in the reverse of the order that the routing weights have."""

    @patch.around(ExpertBank, "_stack")
    def _(real, self, name, ids):
        return real(self, name, ids[::-1])


@fault("1x2")
def read_sixteen_experts_only(patch):
    """Experts are counted modulo 16, whatever the config says."""

    @patch.everywhere(base, "expert_tensor")
    def _(real, state_dict, name, index):
        return real(state_dict, name, index % 16)


@fault("4x8")
def weigh_sets_by_the_first_columns(patch):
    """Experts that are loaded a few at a time are weighed by the first columns of the routing, not by their own."""

    @patch.around(Experts, "_of_set")
    def _(real, self, routing, experts):
        return ttnn.slice(routing, [0, 0, 0, 0], [1, 1, routing.shape[2], len(experts.ids)])


@fault("1x1")
def forget_down_bias(patch):
    """Experts answer without the bias of their down projection."""

    @patch.around(ExpertBank, "_stack")
    def _(real, self, name, ids):
        found = real(self, name, ids)
        return torch.zeros_like(found) if name == "down_proj_bias" else found


@fault("1x1")
def answer_with_a_constant(patch):
    """The kernel that adds the experts up writes nothing: the output is whatever the buffer held, here zeros."""

    @patch.around(Experts, "_weighted_sum")
    def _(real, self, *given):
        return ttnn.zeros_like(real(self, *given))

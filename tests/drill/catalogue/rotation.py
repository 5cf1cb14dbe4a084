"""Faults of the rotation of positions: its form, its frequencies, its tables."""

from __future__ import annotations

import math

import torch

from gptoss.attention import Attention, Rope, rope
from gptoss.attention.rope import listed
from tests.drill.fault import fault


@fault("1x1")
def keep_half_split_order(patch):
    """Rows of q and k stay in the published half-split order, while the kernel rotates adjacent pairs."""

    @patch.everywhere(rope, "pair_order")
    def _(real, heads, head_dim):
        return torch.arange(heads * head_dim)


@fault("1x1")
def reorder_weights_but_not_biases(patch):
    """The rows of q and k are put into pair order, their biases are not."""

    @patch.around(Attention, "_rows")
    def _(real, self, name, kind):
        return real(self, name, kind) if kind == "weight" else self.weight(f"self_attn.{name}.bias")


@fault("1x1")
def leave_rotation_unscaled(patch):
    """Cosines and sines lack YaRN's attention factor of 0.1 ln(factor) + 1."""

    @patch.everywhere(rope, "tables")
    def _(real, config, positions):
        factor = 0.1 * math.log(config.rope_scaling_factor) + 1
        return tuple(table / factor for table in real(config, positions))


@fault("1x1")
def forget_to_stretch(patch):
    """Frequencies are those of plain RoPE: none is stretched."""

    @patch.everywhere(rope, "inverse_frequencies")
    def _(real, config):
        return config.rope_theta ** (-torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)


@fault("1x1")
def round_the_ramp(patch):
    """The ends of YaRN's ramp are rounded to whole pairs although the config says that they are not.

    Found in the wild by a long-sequence test: correlation 0.979 before, 0.9999 after.
    """

    @patch.around(rope, "_correction_range")
    def _(real, config):
        return real(config.replace(rope_truncate=True))


@fault("1x1")
def rotate_the_other_way(patch):
    """The pair matrix has its signs turned round: each angle is subtracted."""

    @patch.around(rope, "_pair_swap")
    def _(real):
        return -real()


@fault("1x2")
def number_positions_from_one(patch):
    """The rotation of every position is that of the next one, in the tables of both modes.

    Attention sees differences of positions alone, so only the rotation itself tells.
    """

    @patch.everywhere(rope, "tables")
    def _(real, config, positions):
        return real(config, [position + 1 for position in positions])


@fault("1x2")
def rotate_tokens_one_late(patch):
    """In decode each token is rotated as the next one, while the cache holds prompts that were rotated rightly."""

    @patch.around(Rope, "row")
    def _(real, self, positions):
        return real(self, [position + 1 for position in listed(positions)])

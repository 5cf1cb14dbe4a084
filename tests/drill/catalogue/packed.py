"""Faults of checkpoints: what the bytes of a file mean."""

from __future__ import annotations

from dataclasses import replace

import torch

from gptoss.weights import checkpoint, mxfp4, safetensors
from gptoss.weights.safetensors import Entry
from tests.drill.fault import fault

SUITE = ("tests/gptoss/test_mxfp4.py", "tests/gptoss/test_checkpoint.py")


@fault("1x1", suite=SUITE)
def swap_nibbles(patch):
    """The high nibble of a byte is read as the even column."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        return real(blocks << 4 | blocks >> 4, scales, out)


@fault("1x1", suite=SUITE)
def bias_scales_by_128(patch):
    """Scales are powers of two from a bias of 128; it is 127."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        return real(blocks, scales - 1, out)


@fault("1x1", suite=SUITE)
def scale_the_next_block(patch):
    """Each block is scaled by the scale of the block behind it."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        return real(blocks, scales.roll(-1, dims=-1), out)


@fault("1x1", suite=SUITE)
def lose_the_sign(patch):
    """The fourth bit of a code is taken for nothing: all weights are positive."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        return real(blocks & 0x77, scales, out)


@fault("1x1", suite=SUITE)
def take_scales_for_integers(patch):
    """The multiplier is the scale byte itself less its bias; it is a power of two."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        found = real(blocks, torch.full_like(scales, 127), out)
        return found.mul_((scales.float() - 127).repeat_interleave(mxfp4.BLOCK, dim=-1).transpose(-1, -2))


@fault("1x1", suite=SUITE)
def leave_experts_transposed(patch):
    """Unpacked experts keep the order of what is stored, [out, in], under the shape that the model reads."""

    @patch.around(mxfp4, "unpack")
    def _(real, blocks, scales, out=None):
        found = real(blocks, scales, out)
        return found.copy_(found.clone().transpose(-1, -2).reshape(found.shape))


@fault("1x1", suite=SUITE)
def read_the_next_expert(patch):
    """An expert is read one expert too far into the file."""

    @patch.around(Entry, "read")
    def _(real, self, index=None):
        return real(self, index if index is None else (index + 1) % self.shape[0])


@fault("1x1", suite=SUITE)
def start_at_the_header(patch):
    """Offsets are counted from the start of the file; they count from the end of its header."""

    @patch.around(safetensors, "_entry")
    def _(real, file, name, at):
        return real(replace(file, values_at=8), name, at)


@fault("1x1", suite=SUITE)
def accept_any_shape(patch):
    """A tensor of the wrong shape, or none, is found out when it is used, somewhere inside the model."""

    @patch.around(checkpoint._Listing, "check")
    def _(real, self, wanted):
        return None

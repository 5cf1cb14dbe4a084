"""Faults of number formats: how values are rounded when they are stored on a device.

The suite's floors leave room for rounding, so most of these are for the emulator's own tests, which ask for exact bits.
"""

from __future__ import annotations

import torch

from gptoss import component
from tests.drill.fault import fault
from ttemu import formats

BITS = ("tests/ttemu/test_formats.py", "tests/ttemu/test_convert.py")


def before_quantising(patch, change, width=formats.BLOCK):
    """Let each block of ``width`` values be ``change(blocks, bits)`` before it is quantised."""

    @patch.everywhere(formats, "quantise")
    def _(real, values, dtype):
        if not values.dim() or not values.numel():
            return real(values, dtype)
        padded = torch.nn.functional.pad(values.float(), (0, -values.shape[-1] % width))
        blocks = change(padded.unflatten(-1, (-1, width)), formats.MAGNITUDE_BITS[dtype])
        changed = blocks.flatten(-2)[..., : values.shape[-1]]
        return real(torch.where(values.isfinite(), changed, values.float()), dtype)


def exponents(blocks):
    """Return the exponent of the largest value of each block."""
    return torch.frexp(blocks.nan_to_num(0, 0, 0).abs().amax(dim=-1, keepdim=True)).exponent


@fault("1x1")
def share_the_least_exponent(patch):
    """A block's shared exponent is that of its smallest value: all others are cut off at the top."""

    def change(blocks, bits):
        least = torch.frexp(blocks.abs().amin(dim=-1, keepdim=True).clamp(min=1e-30)).exponent
        limit = (1 - 2.0**-bits) * torch.exp2(least)
        return blocks.clamp(-limit, limit)

    before_quantising(patch, change)


@fault("1x1", suite=BITS)
def truncate_block_floats(patch):
    """Values are cut to a block's step; they should be rounded, half to even."""

    def change(blocks, bits):
        top = exponents(blocks)
        return torch.ldexp(torch.ldexp(blocks, bits - top).trunc(), top - bits)

    before_quantising(patch, change)


@fault("1x1", suite=BITS)
def round_halves_away_from_zero(patch):
    """Halves of a block's step are rounded away from zero, as the packers of the device do and the host does not."""

    def change(blocks, bits):
        top = exponents(blocks)
        codes = torch.ldexp(blocks, bits - top)
        rounded = (codes.abs() + 0.5).floor().clamp(max=2**bits - 1).copysign(codes)
        return torch.ldexp(rounded, top - bits)

    before_quantising(patch, change)


@fault("1x1", suite=BITS)
def share_exponents_of_thirty_two(patch):
    """A block holds 32 values, as in MXFP4; here it holds 16."""

    def change(blocks, bits):
        top = exponents(blocks)
        return torch.ldexp(torch.ldexp(blocks, bits - top).round(), top - bits)

    before_quantising(patch, change, width=2 * formats.BLOCK)


@fault("1x1", dtype="bfloat16")
def truncate_bfloat16(patch):
    """Values are cut to bfloat16 by dropping their lower half, after every op."""

    @patch.everywhere(formats, "store")
    def _(real, values, dtype):
        if dtype is formats.DataType.BFLOAT16 and values.dtype is torch.float32:
            return (values.contiguous().view(torch.int32) & -65536).view(torch.float32).to(torch.bfloat16)
        return real(values, dtype)


@fault("2x4", suite=("tests/gptoss/test_components.py",))
def quantise_before_shard(patch):
    """Weights are rounded to blocks before they are cut into shards of 36 columns: some blocks straddle two devices.

    A few weights in a hundred differ, which no floor of a correlation sees.
    """

    @patch.everywhere(component, "place")
    def _(real, mesh_device, host, *, dtype=component.ttnn.bfloat16, **options):
        if dtype in formats.MAGNITUDE_BITS:
            host = formats.quantise(host.float(), dtype).float()
        return real(mesh_device, host, dtype=dtype, **options)

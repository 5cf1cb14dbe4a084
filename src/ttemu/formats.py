"""Round values to the number formats of ttnn, bit for bit as its host code does.

``store`` and ``load`` are the only two functions that know how a format is held in torch: bfloat16 and the
block floats in torch.bfloat16 (every block-float value fits its 8 significant bits), float32 as itself,
integers in the smallest signed torch integer that holds them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from ttemu.dtypes import BLOCK_FLOATS, INTEGERS, DataType

__all__ = ["BLOCK", "load", "quantise", "round_bfloat16", "round_fp8", "store"]

BLOCK = 16
"""Consecutive elements of a row that share an exponent."""

MAGNITUDE_BITS = {DataType.BFLOAT8_B: 7, DataType.BFLOAT4_B: 3, DataType.BFLOAT2_B: 1}

_STORAGE = {
    DataType.BFLOAT16: torch.bfloat16,
    DataType.FLOAT32: torch.float32,
    DataType.BFLOAT8_B: torch.bfloat16,
    DataType.BFLOAT4_B: torch.bfloat16,
    DataType.BFLOAT2_B: torch.bfloat16,
    DataType.FP8_E4M3: torch.float32,
    DataType.UINT8: torch.int32,
    DataType.UINT16: torch.int32,
    DataType.INT8: torch.int32,
    DataType.INT32: torch.int32,
    DataType.UINT32: torch.int64,
}
_CHUNK = 1 << 18  # elements; the scratch of one chunk is 2 MiB, which a second-level cache holds
_FAST_MIN, _FAST_MAX = 24, 253  # shared exponents whose scale factors are normal float32 numbers
_MAGNITUDE, _TWO_MAGNITUDES = 0x7FFFFFFF, 0x7FFF7FFF  # of a float32; of two bfloat16 side by side
_FP8_MAX, _FP8_MIN_NORMAL = 448.0, 2.0**-6


def store(values: torch.Tensor, dtype: DataType) -> torch.Tensor:
    """Round float32 or integer ``values`` [..., n] to ``dtype``; the last dim starts a block at 0."""
    if dtype is DataType.BFLOAT16:
        return values.to(torch.bfloat16)
    if dtype in BLOCK_FLOATS:
        return quantise(values, dtype)
    if dtype in INTEGERS:
        return _store_integer(values, dtype)
    return round_fp8(values) if dtype is DataType.FP8_E4M3 else values.float()


def load(stored: torch.Tensor) -> torch.Tensor:
    """Return what was stored as float32, or as integers if it holds integers."""
    return stored.float() if stored.dtype is torch.bfloat16 else stored


def _store_integer(values: torch.Tensor, dtype: DataType) -> torch.Tensor:
    low, high = INTEGERS[dtype]
    if values.is_floating_point():
        values = (values if values.dtype is torch.float64 else values.float()).trunc()
        # The real conversion clamps in its vector body and wraps in its tail, so no answer would be right.
        # high itself would be rounded up to high + 1, a power of two, which every float holds.
        if values.numel() and not bool(((values >= low) & (values < high + 1)).all()):
            raise RuntimeError(f"{dtype.name}: a value lies outside {low}..{high}; ttnn's result is not defined")
        return values.to(_STORAGE[dtype])
    wrapped = ((values.to(torch.int64) - low) & (high - low)) + low
    return wrapped.to(_STORAGE[dtype])


def round_bfloat16(values: torch.Tensor) -> torch.Tensor:
    """Round half to even to torch.bfloat16, with 0x7fc0 for every NaN."""
    rounded = torch.empty(values.shape, dtype=torch.bfloat16).copy_(values)
    if bool(rounded.sum(dtype=torch.float32).isnan()):
        # torch's vector code writes 0xffff for NaN, ttnn 0x7fc0.
        rounded.masked_fill_(rounded.isnan(), float("nan"))
    return rounded


def round_fp8(values: torch.Tensor) -> torch.Tensor:
    """Round float32 to E4M3 values: half to even, saturating at 448, zero below 2**-6, one NaN."""
    values = values.float()
    clamped = values.clamp(-_FP8_MAX, _FP8_MAX)
    rounded = clamped.to(torch.float8_e4m3fn).float()
    flushed = torch.where(values.abs() < _FP8_MIN_NORMAL, torch.zeros_like(values).copysign(values), rounded)
    return flushed.masked_fill_(values.isnan(), float("nan"))


def quantise(values: torch.Tensor, dtype: DataType) -> torch.Tensor:
    """Round ``values`` [..., n] to a block format, returned as the torch.bfloat16 numbers that it decodes to."""
    if not values.dim():
        return quantise(values.reshape(1), dtype).reshape(())
    if math.prod(values.shape[-2:]) < _CHUNK // 8:
        values = values.contiguous()
    out = torch.empty(values.shape, dtype=torch.bfloat16)
    if values.numel():
        scratch = _Scratch(values, MAGNITUDE_BITS[dtype])
        for matrix, made in _matrices(values, out):
            for part, place in zip(torch.split(matrix, scratch.rows), torch.split(made, scratch.rows), strict=True):
                scratch.quantise(part, place)
    return out


def _matrices(values: torch.Tensor, out: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield both as matrices [m, n]; strided ``values`` are not copied for that."""
    if values.is_contiguous():
        width = _line(values)
        yield values.view(-1, width), out.view(-1, width)
        return
    shape = (-1, _line(values))
    for at in itertools.product(*(range(size) for size in values.shape[:-2])):
        yield (values[at].view(shape), out[at].view(shape)) if shape[1] == BLOCK else (values[at], out[at])


def _line(values: torch.Tensor) -> int:
    """Return the width of the rows that ``values`` are taken by: a block where all of them are whole blocks."""
    width = values.shape[-1]
    together = values.is_contiguous() or values.stride()[-2:] == (width, 1)
    return BLOCK if together and width % BLOCK == 0 else width


class _Scratch:
    """Room to quantise some rows of a matrix at a time, each row padded with zeros to whole blocks."""

    def __init__(self, values: torch.Tensor, bits: int) -> None:
        self.width = _line(values)
        padded = -(-self.width // BLOCK) * BLOCK
        lines = min(-(-values.numel() // self.width), max(_CHUNK // padded, 1))
        self.rows, self.bits = lines, bits
        # A bfloat16 has nothing to cut: see `_scaled`.
        self.short = values.dtype is torch.bfloat16
        self.source = torch.zeros(lines, padded, dtype=torch.bfloat16 if self.short else torch.float32)
        self.numbers = torch.empty(lines, padded)
        self.integers = torch.empty(lines, padded // 2 if self.short else padded, dtype=torch.int32)
        self.lower = torch.empty(lines if self.short else 0, padded // 2, dtype=torch.int32)

    def quantise(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Quantise ``values`` [m, n] into ``out``."""
        rows = len(values)
        source = values
        if values.dtype is not self.source.dtype or self.width != BLOCK:
            self.source[:rows, : self.width].copy_(values)
            source = self.source[:rows].view(-1, BLOCK)
        numbers = self.numbers[:rows].view(-1, BLOCK)
        integers = self.integers[:rows].view(len(source), -1)
        torch.bitwise_and(source.view(torch.int32), _TWO_MAGNITUDES if self.short else _MAGNITUDE, out=integers)
        if self.short:
            # Two to an int32: the upper one decides, once each lower one has been moved up beside it.
            lower = torch.bitwise_left_shift(integers, 16, out=self.lower[:rows].view_as(integers))
            torch.maximum(integers, lower, out=integers)
        exponent = integers.amax(-1, keepdim=True).bitwise_right_shift_(23)
        least, most = map(int, exponent.aminmax())
        if not most:
            # Nothing but zeros and what flushes to them: places of experts that nobody asks for, whole matrices of it.
            out.zero_()
            return
        is_plain = least >= _FAST_MIN and most <= _FAST_MAX
        clamped = exponent if is_plain else exponent.clamp(_FAST_MIN, _FAST_MAX)
        down = (clamped - (self.bits - 1)).bitwise_left_shift_(23).view(torch.float32)
        codes = self._scaled(source, clamped, numbers, integers)
        # + 0.0 turns -0.0 into 0.0: a code of zero has no sign.
        codes.round_().clamp_(1 - 2**self.bits, 2**self.bits - 1).mul_(down).add_(0.0)
        made = self.numbers[:rows]
        # Blocks of zeros came out right; those near the ends of float32's range are done in integers.
        odd = () if is_plain else ((clamped != exponent) & (exponent != 0)).squeeze(-1).nonzero().squeeze(-1)
        if len(odd):
            made = made.bfloat16()
            made.view(-1, BLOCK)[odd] = _quantise_bits(source[odd].float(), self.bits)
        out.copy_(made[:, : self.width])

    def _scaled(
        self, source: torch.Tensor, exponent: torch.Tensor, numbers: torch.Tensor, integers: torch.Tensor
    ) -> torch.Tensor:
        """Return ``source`` [n, 16] in units of the last place, in ``numbers``.

        With E the biased exponent of a block's largest element, an element is cut to a multiple of
        2**(E-150), so |x| * 2**(150-E) < 2**24 is cut to an integer; then it is rounded half to even to a
        multiple of 2**(24-bits) of those units. Both scale factors are powers of two, so nothing else rounds.
        What a cut takes from a bfloat16 lies far below half a unit, so it need not be made.
        """
        if self.short:
            up = (253 + self.bits - exponent).bitwise_left_shift_(23).view(torch.float32)
            return numbers.copy_(source).mul_(up)
        up = (277 - exponent).bitwise_left_shift_(23).view(torch.float32)
        integers.copy_(torch.mul(source, up, out=numbers))
        return numbers.copy_(integers).mul_(2.0 ** (self.bits - 24))


def _quantise_bits(blocks: torch.Tensor, bits: int) -> torch.Tensor:
    """Quantise ``blocks`` [n, 16] in integers, for blocks that hold inf, NaN or numbers near the smallest."""
    raw = blocks.view(torch.int32)
    exponent = (raw >> 23) & 0xFF
    shared = exponent.amax(-1, keepdim=True)
    mantissa = torch.where(exponent == 0, 0, (raw & 0x7FFFFF) | 0x800000) >> (shared - exponent).clamp(max=31)
    cut = 24 - bits
    codes = (mantissa + (1 << (cut - 1)) - 1 + ((mantissa >> cut) & 1)) >> cut
    codes = codes.clamp(max=2**bits - 1)
    return _decode(codes, (raw < 0) & (codes != 0), shared, bits)


def _decode(codes: torch.Tensor, negative: torch.Tensor, shared: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the torch.bfloat16 numbers of ``codes`` under the biased exponents ``shared`` [n, 1]."""
    width = torch.zeros_like(codes)
    for bit in range(bits):
        width = torch.where(codes >> bit != 0, bit + 1, width)
    field = shared - (bits - width)
    # Without its leading one, shifted to the top of the 23 fraction bits.
    fraction = (codes << (24 - width)) & 0x7FFFFF
    raw = torch.where((codes == 0) | (field < 0), 0, (field << 23) | fraction)
    signed = torch.where(negative & (raw != 0), raw | -(2**31), raw)
    # The upper half of the bits, not a conversion: torch's would change the payload of a NaN.
    return (signed >> 16).to(torch.int16).view(torch.bfloat16)

"""Draw numbers that conversions may get wrong: ties, NaNs with payloads, subnormals, mixed exponents, extremes."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["FLOATS", "INTEGERS", "KINDS", "SOURCES", "inside", "outside", "sample"]

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32)
SOURCES = (*FLOATS, *INTEGERS, torch.bool)

Draw = Callable[[int, torch.Generator], torch.Tensor]
_SPECIAL_BITS = (
    0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000,
    0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FBFFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x3F7FFFFF, 0x3FFFFFFF, 0x43E00000,
    0x43E80000, 0x3C800000, 0x3C7FFFFF, 0x33000000, 0x7F7F8000, 0x7F7F7FFF,
)  # fmt: skip


def _integers(low: int, high: int, count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(low, high, (count,), generator=generator, dtype=torch.int64)


def _of_bits(bits: torch.Tensor) -> torch.Tensor:
    """Return the float32 numbers of patterns below 2**32."""
    return torch.where(bits >= 2**31, bits - 2**32, bits).to(torch.int32).view(torch.float32)


def _normal(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, generator=generator)


def _wide(count: int, generator: torch.Generator) -> torch.Tensor:
    return _normal(count, generator) * torch.exp2(_integers(-20, 21, count, generator).float())


def _bits(count: int, generator: torch.Generator) -> torch.Tensor:
    return _of_bits(_integers(0, 2**32, count, generator))


def _ties(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return numbers with few significant bits, so that many lie half-way between two of a coarser format."""
    return _integers(-512, 513, count, generator).float() * torch.exp2(_integers(-6, 3, count, generator).float())


def _tiny(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return subnormal numbers and the smallest normal ones."""
    sign = _integers(0, 2, count, generator) << 31
    return _of_bits(sign | _integers(0, 0x05000000, count, generator))


def _huge(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return the largest finite numbers, infinities among them."""
    sign = _integers(0, 2, count, generator) << 31
    return _of_bits(sign | _integers(0x7C000000, 0x7FA00000, count, generator).clamp(max=0x7F800000))


def _special(count: int, generator: torch.Generator) -> torch.Tensor:
    table = _of_bits(torch.tensor(_SPECIAL_BITS))
    return table[_integers(0, len(_SPECIAL_BITS), count, generator)]


def _upper_halves(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return every bfloat16 pattern in turn, from a random one on."""
    start = int(_integers(0, 65536, 1, generator))
    return _of_bits((torch.arange(start, start + count) % 65536) << 16)


KINDS: dict[str, Draw] = {
    "normal": _normal,
    "wide": _wide,
    "bits": _bits,
    "ties": _ties,
    "tiny": _tiny,
    "huge": _huge,
    "special": _special,
    "bfloat16 patterns": _upper_halves,
}
"""Ways to draw float32 numbers."""


def sample(dtype: torch.dtype, kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return ``count`` numbers of a torch dtype; integers know extremes and small numbers only."""
    if dtype is torch.bool:
        return _integers(0, 2, count, generator).bool()
    if dtype in INTEGERS:
        return _integer_sample(dtype, kind, count, generator)
    if dtype is torch.float64 and kind == "bits":
        return _integers(-(2**63), 2**63 - 1, count, generator).view(torch.float64)
    numbers = KINDS[kind](count, generator)
    if dtype is torch.float16 and kind == "bits":
        return _integers(-(2**15), 2**15, count, generator).to(torch.int16).view(torch.float16)
    if dtype is torch.bfloat16:
        # Its patterns as they are: rounding would lose the payloads of NaNs.
        return (numbers.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)
    return numbers.to(dtype)


def _integer_sample(dtype: torch.dtype, kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    info = torch.iinfo(dtype)
    if kind == "special":
        table = torch.tensor([info.min, info.min + 1, 0, 1, 127, 128, 129, 255, info.max // 2, info.max - 1, info.max])
        return table[_integers(0, len(table), count, generator)].to(dtype)
    reach = {"normal": 8, "ties": 10, "tiny": 4, "wide": 20, "bfloat16 patterns": 16}.get(kind, 63)
    low, high = max(info.min, -(2**reach)), min(info.max, 2**reach - 1)
    return _integers(low, high, count, generator).to(dtype)


def inside(dtype: torch.dtype, low: int, high: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Return floating numbers whose whole part lies within ``low``..``high``, both ends among them."""
    reach = torch.finfo(dtype).max
    low, high = max(low, -int(reach)), min(high, int(reach))
    spread = torch.exp2(torch.rand(count, generator=generator, dtype=torch.float64) * 33 - 33)
    negative = (torch.rand(count, generator=generator) < 0.5) & (low < 0)
    numbers = torch.where(negative, low * spread, high * spread)
    ends = torch.tensor([low, high, high - 1, low + 0.5, high - 0.5, 0.0, -0.0, 0.75, -0.75], dtype=torch.float64)
    numbers[: len(ends)] = ends[:count]
    rounded = numbers.to(dtype)
    whole = rounded.double().trunc()
    return torch.where((whole >= low) & (whole <= high), rounded, torch.zeros_like(rounded))


def outside(dtype: torch.dtype, low: int, high: int) -> torch.Tensor:
    """Return one number each beyond the ends of a range, and NaN, as tensors of one element each."""
    numbers = torch.tensor([low - 1025.0 - 2e-2 * abs(low), high + 1.0, high * 1.02 + 1, float("inf"), float("nan")])
    return numbers.to(dtype)

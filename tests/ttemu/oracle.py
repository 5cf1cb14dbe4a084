"""Quantise one block at a time in Python integers: the slow reference for ``ttemu.formats``.

Shares no line with it. Numbers are float32 bit patterns; ``magnitude_bits`` is 7, 3 or 1.
"""

from __future__ import annotations

import struct


def bits_of(value: float) -> int:
    """Return the float32 bit pattern of a number."""
    (pattern,) = struct.unpack("<I", struct.pack("<f", value))
    return int(pattern)


def number_of(pattern: int) -> float:
    """Return the number of a float32 bit pattern."""
    (value,) = struct.unpack("<f", struct.pack("<I", pattern))
    return float(value)


def encode(patterns: list[int], magnitude_bits: int) -> tuple[int, list[int]]:
    """Return the shared exponent and the codes (sign, magnitude) of 16 numbers."""
    shared = max((pattern >> 23) & 0xFF for pattern in patterns)
    codes = []
    for pattern in patterns:
        sign, exponent, fraction = pattern >> 31, (pattern >> 23) & 0xFF, pattern & 0x7FFFFF
        mantissa = 0 if exponent == 0 else 0x800000 | fraction
        mantissa >>= min(shared - exponent, 31)
        magnitude = min(_round_half_even(mantissa, 24 - magnitude_bits), 2**magnitude_bits - 1)
        codes.append((sign << magnitude_bits | magnitude) if magnitude else 0)
    return shared, codes


def _round_half_even(value: int, dropped: int) -> int:
    kept, rest, half = value >> dropped, value & ((1 << dropped) - 1), 1 << (dropped - 1)
    up = rest > half or (rest == half and kept & 1)
    return kept + int(up)


def decode(shared: int, code: int, magnitude_bits: int) -> int:
    """Return the float32 bit pattern of a code."""
    sign, magnitude = code >> magnitude_bits, code & ((1 << magnitude_bits) - 1)
    if magnitude == 0:
        return sign << 31
    zeros = magnitude_bits - magnitude.bit_length()
    exponent = shared - zeros
    if exponent < 0:
        return 0
    leading = 1 << magnitude.bit_length() - 1
    fraction = (magnitude - leading) << (23 - (magnitude.bit_length() - 1))
    return sign << 31 | exponent << 23 | fraction


def quantise(patterns: list[int], magnitude_bits: int) -> list[int]:
    """Return the float32 bit patterns of what 16 numbers become."""
    shared, codes = encode(patterns, magnitude_bits)
    return [decode(shared, code, magnitude_bits) for code in codes]


def bfloat16(pattern: int) -> int:
    """Return the upper 16 bits of a float32 pattern rounded half to even; every NaN is 0x7fc0."""
    if pattern & 0x7FFFFFFF > 0x7F800000:
        return 0x7FC0
    kept, rest = pattern >> 16, pattern & 0xFFFF
    return kept + int(rest > 0x8000 or (rest == 0x8000 and kept & 1))

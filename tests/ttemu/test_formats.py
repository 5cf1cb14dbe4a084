"""The number formats round as ttnn's host code does, bit for bit; the reference is ``oracle.py``."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ttemu import oracle
from ttemu.dtypes import DataType, bfloat2_b, bfloat4_b, bfloat8_b, bfloat16, float32, int32, uint8, uint16, uint32
from ttemu.formats import BLOCK, MAGNITUDE_BITS, load, quantise, round_bfloat16, round_fp8, store

BLOCK_FLOATS = [bfloat8_b, bfloat4_b, bfloat2_b]
INF, NAN = 0x7F800000, 0x7FC00000

patterns = st.integers(0, 2**32 - 1)
blocks = st.lists(patterns, min_size=BLOCK, max_size=BLOCK)


def as_floats(bits: list[int]) -> torch.Tensor:
    """Return float32 numbers with the given bit patterns."""
    return torch.tensor([struct.unpack("<i", struct.pack("<I", item))[0] for item in bits], dtype=torch.int32).view(
        torch.float32
    )


def as_bits(values: torch.Tensor) -> list[int]:
    """Return the float32 bit patterns of numbers, without passing through a conversion of bfloat16 NaNs."""
    raw = values.view(torch.int16).int() << 16 if values.dtype is torch.bfloat16 else values.view(torch.int32)
    return [item & 0xFFFFFFFF for item in raw.flatten().tolist()]


def near(exponent: int) -> st.SearchStrategy[list[int]]:
    """Return blocks whose exponents lie at most 30 below ``exponent``."""
    exponents = st.integers(max(exponent - 30, 0), exponent)
    number = st.builds(
        lambda sign, power, fraction: sign << 31 | power << 23 | fraction,
        st.integers(0, 1),
        exponents,
        st.integers(0, 2**23 - 1),
    )
    return st.lists(number, min_size=BLOCK, max_size=BLOCK)


@pytest.mark.parametrize("dtype", BLOCK_FLOATS)
@given(bits=st.one_of(blocks, near(255), near(254), near(127), near(25), near(24), near(8), near(1)))
@settings(max_examples=120, deadline=None)
def test_block_equals_the_naive_quantiser(dtype: DataType, bits: list[int]) -> None:
    expected = oracle.quantise(bits, MAGNITUDE_BITS[dtype])

    assert as_bits(quantise(as_floats(bits), dtype)) == expected


@pytest.mark.parametrize("dtype", BLOCK_FLOATS)
def test_every_exponent_and_code_decodes_as_the_naive_decoder(dtype: DataType) -> None:
    bits = MAGNITUDE_BITS[dtype]
    for exponent in range(1, 256):
        top = exponent << 23  # keeps the shared exponent where it is
        numbers = [pattern for code in range(2 ** (bits + 1)) if (pattern := oracle.decode(exponent, code, bits)) & INF]
        groups = [[top, *numbers[start : start + BLOCK - 1]] for start in range(0, len(numbers), BLOCK - 1)]
        full = [group + [0] * (BLOCK - len(group)) for group in groups]

        expected = [item for group in full for item in oracle.quantise(group, bits)]
        assert as_bits(quantise(as_floats([item for group in full for item in group]), dtype)) == expected


@pytest.mark.parametrize("dtype", BLOCK_FLOATS)
def test_large_tensor_equals_the_naive_quantiser_block_by_block(dtype: DataType) -> None:
    values = torch.randn(300, 48, generator=torch.Generator().manual_seed(5)) * 10.0 ** torch.arange(-24, 24)
    bits = as_bits(values)

    expected = [
        item
        for start in range(0, len(bits), BLOCK)
        for item in oracle.quantise(bits[start : start + BLOCK], MAGNITUDE_BITS[dtype])
    ]
    assert as_bits(quantise(values, dtype)) == expected


def test_chunks_of_a_long_tensor_are_quantised_alike() -> None:
    values = torch.randn(3 * 2**16 + 16)

    parts = torch.cat([quantise(part, bfloat8_b) for part in values.split(16 * 1000)])
    assert torch.equal(quantise(values, bfloat8_b), parts)


@pytest.mark.parametrize(
    ("given_numbers", "expected"),
    [
        ([1.0, 1.999], [1.0, 1.984375]),  # saturates: the shared exponent is never raised
        ([1.0, 1 / 128], [1.0, 0.0]),  # a tie goes to the even code, 0
        ([1.0, 3 / 128], [1.0, 2 / 64]),  # a tie goes to the even code, 2
        ([1.0, -1 / 256], [1.0, 0.0]),  # no -0
        ([1.0, 1 / 128 + 2.0**-30], [1.0, 0.0]),  # bits cut by the shift do not break the tie
        ([1.0, 1 / 128 + 2.0**-20], [1.0, 1 / 64]),
        ([0.0, -0.0], [0.0, 0.0]),
        ([1e-40, -1e-40], [0.0, 0.0]),  # denormals are zeros
        ([float("inf"), 1.0], [float("inf"), 0.0]),
        ([float("-inf"), 3.4e38], [float("-inf"), float("inf")]),  # 3.4e38 beside inf reads back inf
    ],
)
def test_bfloat8_b_edge(given_numbers: list[float], expected: list[float]) -> None:
    row = torch.tensor(given_numbers + [0.0] * 14)

    assert quantise(row, bfloat8_b)[:2].tolist() == expected
    assert not quantise(row, bfloat8_b)[2:].any()


@pytest.mark.parametrize(("pattern", "is_nan"), [(0x7F800001, False), (0x7FC00000, True), (0xFFC00000, True)])
def test_nan_survives_only_with_its_upper_bits(pattern: int, *, is_nan: bool) -> None:
    first = quantise(as_floats([pattern] + [0] * 15), bfloat8_b)[0]

    assert bool(first.isnan()) is is_nan
    assert bool(first.isinf()) is not is_nan


@pytest.mark.parametrize("dtype", BLOCK_FLOATS)
@given(bits=st.one_of(near(254), near(127), near(20)))
@settings(max_examples=50, deadline=None)
def test_quantising_twice_changes_nothing(dtype: DataType, bits: list[int]) -> None:
    once = quantise(as_floats(bits), dtype)

    assert as_bits(quantise(once.float(), dtype)) == as_bits(once)


@pytest.mark.parametrize("dtype", [bfloat8_b, bfloat4_b])
def test_block_that_is_not_full_counts_as_padded_with_zeros(dtype: DataType) -> None:
    values = torch.randn(3, 20)
    padded = torch.nn.functional.pad(values, (0, 12))

    assert torch.equal(quantise(values, dtype), quantise(padded, dtype)[:, :20])


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (2, 1, 5), (2, 3, 4, 5, 17)])
def test_any_shape_is_kept(shape: tuple[int, ...]) -> None:
    assert quantise(torch.ones(shape), bfloat8_b).shape == torch.Size(shape)


def test_non_contiguous_values_are_quantised_along_their_last_dim() -> None:
    values = torch.randn(32, 48)

    assert torch.equal(quantise(values.T, bfloat4_b), quantise(values.T.contiguous(), bfloat4_b))


@given(bits=st.lists(patterns, min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_bfloat16_equals_the_naive_rounding(bits: list[int]) -> None:
    rounded = round_bfloat16(as_floats(bits)).view(torch.int16)

    assert [item & 0xFFFF for item in rounded.tolist()] == [oracle.bfloat16(item) for item in bits]


def test_every_upper_half_rounds_to_bfloat16_as_the_naive_rounding() -> None:
    # All 65536 upper halves beside the lower halves where rounding turns.
    for low in (0x0000, 0x7FFF, 0x8000, 0x8001, 0xFFFF):
        bits = (torch.arange(2**16, dtype=torch.int64) << 16 | low).to(torch.int32)
        rounded = round_bfloat16(bits.view(torch.float32)).view(torch.int16)

        expected = [oracle.bfloat16(high << 16 | low) for high in range(2**16)]
        assert [item & 0xFFFF for item in rounded.tolist()] == expected


def test_op_results_round_like_host_values() -> None:
    values = torch.randn(1000) * 1e3

    assert torch.equal(store(values, bfloat16), round_bfloat16(values))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (500.0, 448.0),
        (float("inf"), 448.0),
        (-1e9, -448.0),
        (2.0**-7, 0.0),
        (2.0**-6, 2.0**-6),
        (1.0625, 1.0),
        (1.1875, 1.25),
    ],
)
def test_fp8_saturates_flushes_and_rounds_to_even(value: float, expected: float) -> None:
    assert round_fp8(torch.tensor([value])).tolist() == [expected]


@pytest.mark.parametrize(
    ("dtype", "given_numbers", "expected"),
    [
        (uint8, [255, 256, -1], [255, 0, 255]),
        (uint16, [65535, 65536, -1], [65535, 0, 65535]),
        (uint32, [2**32 - 1, 2**32, -1], [2**32 - 1, 0, 2**32 - 1]),
        (int32, [2**31 - 1, 2**31, -1], [2**31 - 1, -(2**31), -1]),
    ],
)
def test_integers_wrap(dtype: DataType, given_numbers: list[int], expected: list[int]) -> None:
    assert store(torch.tensor(given_numbers), dtype).tolist() == expected


def test_floats_are_truncated_to_integers() -> None:
    assert store(torch.tensor([1.9, -1.9]), int32).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (uint8, 256.0),
        (uint16, -1.0),
        (uint16, 65536.0),
        (int32, 2.0**31),
        (int32, -float("inf")),
        (uint32, 2.0**32),
        (uint32, float("nan")),
    ],
)
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_float_outside_an_integer_format_is_refused(source: torch.dtype, dtype: DataType, value: float) -> None:
    # The ends of a range round up in a coarse format, where a comparison would no longer see them.
    with pytest.raises(RuntimeError, match=rf"{dtype.name}: a value lies outside .* not defined"):
        store(torch.tensor([value]).to(source), dtype)


def test_fp8_knows_one_nan() -> None:
    patterns = torch.tensor([0x7F800001, -1, 0x7FC00000], dtype=torch.int32)

    assert round_fp8(patterns.view(torch.float32)).view(torch.int32).unique().tolist() == [0x7FC00000]


@pytest.mark.parametrize("dtype", [bfloat16, float32, bfloat8_b, bfloat4_b, bfloat2_b])
def test_stored_numbers_load_as_the_float32_numbers_that_they_are(dtype: DataType) -> None:
    values = torch.tensor([1.0, -0.5, 0.25, 2.0] * 4)
    if dtype is bfloat2_b:
        values = values.sign()

    assert load(store(values, dtype)).dtype is torch.float32
    if dtype is not bfloat4_b:
        assert torch.equal(load(store(values, dtype)), values)

"""Verdicts: every copy counts, and nothing odd passes."""

from __future__ import annotations

import re

import pytest
import torch

from gptoss.testing.comparison import Limits, compare, copies, correlation, slope_error

LIMITS = Limits(pcc=0.99, max_error=0.1, rms_error=0.1, slope_error=0.05)
SHAPE = (2, 2)


def judge(shards, expected, **options):
    chosen = {"mesh_shape": SHAPE, "limits": LIMITS, "subject": "experts, bfloat4_b, 2x2, seed 0"} | options
    return compare(shards, expected, **chosen)


@pytest.fixture
def expected():
    return torch.randn(32, 64, generator=torch.Generator().manual_seed(0))


def test_equal_copies_pass_with_their_numbers(expected):
    verdict = judge([expected[None, None]] * 4, expected)

    assert verdict
    assert str(verdict) == (
        "PCC 1.000000 >= 0.99; max error 0 <= 0.1; rms error 0 <= 0.1; slope error 0 <= 0.05 "
        "(experts, bfloat4_b, 2x2, seed 0)"
    )


def test_numbers_stand_beside_their_bounds(expected):
    noise = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))

    verdict = judge([expected + noise] * 4, expected)

    assert not verdict
    assert re.fullmatch(
        r"PCC 0\.[67]\d{5} < 0\.99; max error [\d.]+ > 0\.1; rms error [\d.]+ > 0\.1; slope error [\d.]+ > 0\.05 "
        r"\(experts, bfloat4_b, 2x2, seed 0\)",
        str(verdict),
    )
    assert repr(verdict) == str(verdict)


@pytest.mark.parametrize(
    ("change", "pcc", "rms"),
    [
        (lambda x: x * 1.5, 1.0, 0.5),
        (lambda x: x * 1.02, 1.0, 0.02),
        (lambda x: x + 0.02, 1.0, 0.02),
    ],
    ids=["half as much again", "two per cent more", "shifted"],
)
def test_what_correlation_cannot_see_fails_by_its_error(expected, change, pcc, rms):
    # A bfloat16 component's floors are as close as these.
    verdict = judge([change(expected)] * 4, expected, limits=Limits(pcc=0.99996, max_error=0.03, rms_error=0.009))

    assert not verdict
    assert verdict.pcc == pytest.approx(pcc)
    assert verdict.rms_error == pytest.approx(rms, rel=0.05)


def test_rms_error_alone_fails(expected):
    # Every value is a little off, none by much.
    signs = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).sign()

    verdict = judge([expected + 0.15 * signs] * 4, expected)

    assert not verdict
    assert (verdict.pcc > 0.98, verdict.max_error < 0.1) == (True, True)
    assert verdict.rms_error == pytest.approx(0.15, rel=0.05)


def test_factor_fails_by_its_slope_within_the_noise(expected):
    # As of a part in bfloat4_b: the noise of single values is ten times the two per cent that all of them share.
    noise = 0.2 * torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    limits = Limits(pcc=0.97, max_error=0.25, rms_error=0.3, slope_error=0.03)

    near, factor = (judge([slope * expected + noise] * 4, expected, limits=limits) for slope in (1.0, 1.02))

    assert near
    assert not factor
    assert (factor.pcc > limits.pcc, factor.max_error < 0.25, factor.rms_error < 0.21) == (True, True, True)
    assert "slope error 0.03" in str(factor)


@pytest.mark.parametrize("slope", [1.02, 0.98, 1.0, -1.0])
def test_slope_is_told_from_one_on_either_side(expected, slope):
    assert slope_error(slope * expected, expected) == pytest.approx(abs(slope - 1), abs=1e-7)


def test_slope_has_four_standard_errors_of_as_many_values():
    expected = torch.tensor([1.0, 1.0, 1.0, 1.0])
    actual = torch.tensor([1.1, 0.9, 1.1, 0.9])

    # The slope is 1, a tenth of each value is noise, and there are four of them.
    assert slope_error(actual, expected) == pytest.approx(4 * 0.1 / 2)


def test_slope_of_many_values_keeps_its_last_digits():
    expected = torch.full((1 << 20,), 3.0)

    # A sum in float32 would be off by more.
    assert slope_error(1.0001 * expected, expected) == pytest.approx(1e-4, rel=1e-3)


def test_worst_copy_tells_the_slope(expected):
    assert judge([expected] * 3 + [1.3 * expected], expected).slope_error == pytest.approx(0.3, rel=1e-5)


def test_one_bad_device_of_four_fails(expected):
    verdict = judge([expected] * 3 + [expected.flip(0)], expected)

    assert not verdict
    assert str(verdict).startswith("device (1, 1) differs from (0, 0) by ")
    assert verdict.pcc < 0.5


def test_copies_must_be_alike_even_within_bounds(expected):
    verdict = judge([expected] * 3 + [expected + 1e-6], expected)

    assert verdict.pcc > 0.999
    assert not verdict
    assert "device (1, 1) differs from (0, 0) by 1" in str(verdict)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(float("nan"), "NaN or infinite"), (float("inf"), "NaN or infinite")],
)
def test_value_that_is_no_number_fails(expected, bad, message):
    broken = expected.clone()
    broken[3, 3] = bad

    verdict = judge([broken] * 4, expected)

    assert not verdict
    assert f"the output holds 1 values that are {message}" in str(verdict)


def test_constant_output_fails(expected):
    verdict = judge([torch.full_like(expected, 0.5)] * 4, expected)

    assert not verdict
    assert "the output is the constant 0.5, which has no correlation" in str(verdict)


def test_constant_fails_even_where_it_is_right(expected):
    constant = torch.full_like(expected, 0.5)

    verdict = judge([constant] * 4, constant)

    assert not verdict
    assert (verdict.max_error, verdict.rms_error, verdict.slope_error, str(verdict.pcc)) == (0.0, 0.0, 0.0, "nan")


def test_not_a_number_on_one_device_is_its_numbers(expected):
    broken = expected.clone()
    broken[3, 3] = float("nan")

    verdict = judge([expected] * 3 + [broken], expected)

    assert not verdict
    numbers = (verdict.pcc, verdict.max_error, verdict.rms_error, verdict.slope_error)
    assert {str(number) for number in numbers} == {"nan"}


def test_zeros_do_not_match_zeros(expected):
    verdict = judge([torch.zeros_like(expected)] * 4, torch.zeros_like(expected))

    assert not verdict
    assert "the expected value is the constant 0" in str(verdict)
    assert str(verdict.slope_error) == "nan"


def test_other_shape_fails(expected):
    verdict = judge([expected.T] * 4, expected)

    assert not verdict
    assert "device (0, 0): shape [64, 32], expected [32, 64]" in str(verdict)


@pytest.mark.parametrize("dims", [(None, 1), (0, None), (0, 1), (1, 0), (-2, -1)])
def test_shards_are_joined_before_they_are_judged(expected, dims):
    def piece(row, col):
        part = expected if dims[0] is None else expected.chunk(2, dims[0])[row]
        return part if dims[1] is None else part.chunk(2, dims[1])[col]

    shards = [piece(row, col) for row in range(2) for col in range(2)]

    assert judge(shards, expected, dims=dims)
    assert not judge(shards[::-1], expected, dims=dims)


def test_bad_shard_of_the_second_copy_fails(expected):
    halves = list(expected.chunk(2, dim=1))

    verdict = judge([*halves, halves[0], -halves[1]], expected, dims=(None, 1))

    assert not verdict
    assert "device (1, 0) differs from (0, 0)" in str(verdict)


def test_zero_padding_beyond_the_last_value_is_cut(expected):
    padded = torch.nn.functional.pad(expected, (0, 32))

    assert judge(list(padded.chunk(2, 1)) * 2, expected, dims=(None, 1))


def test_padding_that_is_not_zero_fails(expected):
    padded = torch.nn.functional.pad(expected, (0, 32), value=1e-9)

    verdict = judge(list(padded.chunk(2, 1)) * 2, expected, dims=(None, 1))

    assert "the padding beyond the last value is not zero" in str(verdict)


def test_padding_along_a_dim_that_is_not_split_fails(expected):
    padded = torch.nn.functional.pad(expected, (0, 0, 0, 1))

    assert "shape [33, 64], expected [32, 64]" in str(judge([padded] * 4, expected))


def test_wrong_number_of_shards_is_refused(expected):
    with pytest.raises(ValueError, match="3 shards on a 2x2 mesh; expected 4"):
        copies([expected] * 3, SHAPE)


def test_waived_values_leave_the_shape(expected):
    verdict = judge([torch.zeros_like(expected)] * 4, expected, values=False)

    assert verdict
    assert str(verdict) == "values waived, shape as expected (experts, bfloat4_b, 2x2, seed 0)"
    assert not judge([expected.T] * 4, expected, values=False)


def test_correlation_of_a_constant_is_no_number():
    assert str(correlation(torch.ones(4), torch.arange(4.0))) == "nan"


def test_correlation_is_exact_for_large_offsets():
    x = torch.arange(1000.0) + 1e6

    assert correlation(x, -x) == pytest.approx(-1.0)

"""What is measured: which way is worse, and the margin of a floor."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshsweep.numerics.measure import FAMILIES, MEASURES, worst

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "measured", "bound"),
    [
        ("pcc", 0.9955, 0.991),
        ("pcc", 1.0, 0.99999),
        ("pcc", -0.5, 0.0),
        ("max_error", 0.1, 0.15),
        ("max_error", 0.0, 0.0),
        ("rms_error", 0.01234, 0.0186),
        ("slope_error", 0.002, 0.003),
        # One token of thirty missed: two may be.
        ("top1", 29 / 30, 0.9333),
        ("top1", 1.0, 0.9666),
        ("top5", 0.5, 0.25),
    ],
)
def test_bound_leaves_the_stated_margin(name: str, measured: float, bound: float) -> None:
    assert MEASURES[name].bound(measured) == bound


@given(st.sampled_from(sorted(MEASURES)), st.floats(0, 1))
def test_measured_value_passes_its_own_floor(name: str, measured: float) -> None:
    measure = MEASURES[name]
    bound = measure.bound(measured)

    assert measure.holds(measured, bound)
    assert not measure.is_looser(bound, measure.kept(measured))
    assert measure.used(measured, bound) <= 1


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("pcc", [0.9, 0.8, 0.95], 0.8),
        ("pcc", [0.9, NAN], NAN),
        ("max_error", [0.1, 0.3], 0.3),
        ("rms_error", [NAN, 0.3], NAN),
        ("top1", [0.9, 0.7], 0.7),
    ],
)
def test_worst_is_furthest_from_perfect(name: str, values: list[float], found: float) -> None:
    assert worst(MEASURES[name], values) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "bound", "measured", "looser"),
    [
        ("pcc", 0.98, 0.99, False),
        ("pcc", 0.979, 0.99, True),
        ("max_error", 0.15, 0.1, False),
        ("max_error", 0.16, 0.1, True),
        ("max_error", 0.1, 0.0, True),
        ("top1", 0.5, 1.0, True),
    ],
)
def test_looser_bound_is_seen(name: str, bound: float, measured: float, looser: object) -> None:
    assert MEASURES[name].is_looser(bound, measured) is looser


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_no_number_is_within_no_bound(name: str) -> None:
    measure = MEASURES[name]

    assert not measure.holds(NAN, measure.perfect)
    assert math.isinf(measure.used(NAN, measure.low if measure.perfect else measure.high))


def test_every_measure_belongs_to_one_family() -> None:
    assert sorted(name for family in FAMILIES for name in family) == sorted(MEASURES)

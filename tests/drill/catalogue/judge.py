"""Faults of the judge: comparisons that pass what they should refuse. Only their own tests can tell."""

from __future__ import annotations

from gptoss.testing import comparison
from gptoss.testing.comparison import Comparison
from tests.drill.fault import fault

SUITE = ("tests/gptoss/test_comparison.py",)


@fault("1x1", suite=SUITE)
def compare_device_zero_only(patch):
    """The copies of the other devices are not looked at, as in most tests upstream."""

    @patch.around(comparison, "copies")
    def _(real, actual, mesh_shape, dims=(None, None)):
        found = real(actual, mesh_shape, dims)
        return dict.fromkeys(found, found[0, 0])


@fault("1x1", suite=SUITE)
def take_constants_for_equal(patch):
    """The correlation of a constant is 1, as a widely copied helper answers where the formula has no value."""

    @patch.around(comparison, "correlation")
    def _(real, actual, expected):
        found = real(actual, expected)
        return 1.0 if found != found else found

    @patch.around(comparison, "_oddities")
    def _(real, found, expected):
        return []


@fault("1x1", suite=SUITE)
def ignore_the_largest_error(patch):
    """Only the correlation is held against a floor, which one wrong value among many does not move."""

    @patch.around(comparison, "_error")
    def _(real, found, expected):
        return 0.0


@fault("1x1", suite=SUITE)
def ignore_padding(patch):
    """What lies beyond the expected values is cut off unseen."""

    @patch.around(comparison, "_trimmed")
    def _(real, copy, expected, dims, *, values):
        return real(copy, expected, dims, values=False)


@fault("1x1", suite=SUITE)
def pass_whatever_is_compared(patch):
    """A verdict is true, as any object is that says nothing else of itself."""

    @patch.around(Comparison, "__bool__")
    def _(real, self):
        return True

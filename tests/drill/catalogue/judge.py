"""Faults of the judge: comparisons that pass what they should refuse. Only their own tests can tell."""

from __future__ import annotations

from gptoss.testing import comparison, generation, routing
from gptoss.testing.comparison import Comparison
from gptoss.testing.routing import Routing
from tests.drill.fault import fault

SUITE = ("tests/gptoss/test_comparison.py",)
OF_EXPERTS = ("tests/gptoss/test_routing.py",)
OF_TOKENS = ("tests/gptoss/test_generation.py",)


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
def ignore_the_error_of_all_values(patch):
    """Values that are each a little off, none by much, pass: nothing adds their errors up."""

    @patch.around(comparison, "rms_error")
    def _(real, actual, expected):
        return 0.0


@fault("1x1", suite=SUITE)
def ignore_the_slope(patch):
    """A factor in all values passes where the noise of a single one is greater."""

    @patch.around(comparison, "slope_error")
    def _(real, actual, expected):
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


@fault("1x1", suite=OF_EXPERTS)
def pass_whatever_experts_are_chosen(patch):
    """The verdict on a router is true, whatever differs."""

    @patch.around(Routing, "__bool__")
    def _(real, self):
        return True


@fault("1x1", suite=OF_EXPERTS)
def take_any_difference_for_a_near_tie(patch):
    """Other experts are a near tie however far apart the scores lie."""

    @patch.around(routing, "_is_tie")
    def _(real, one, other):
        return True


@fault("1x1", suite=OF_EXPERTS)
def compare_the_experts_of_device_zero_only(patch):
    """What the routers of the other devices chose is not looked at."""

    @patch.around(routing, "_differences")
    def _(real, found, *given):
        first = next(iter(found))
        return real({first: found[first]}, *given)


@fault("1x1", suite=OF_TOKENS)
def count_the_tokens_of_the_first_copy_only(patch):
    """A copy of the logits that is stale on another device does not count."""

    @patch.around(generation, "_worst")
    def _(real, shares):
        return shares[0]


@fault("1x1", suite=OF_TOKENS)
def take_a_row_without_numbers_for_a_choice(patch):
    """Logits with a NaN, and such as are all alike, choose whatever comes first."""

    @patch.around(generation, "_tells")
    def _(real, rows):
        return rows.new_ones(len(rows)).bool()

"""Faults of made-up weights: values that hang on what they must not, or are alike where they must differ."""

from __future__ import annotations

from gptoss.weights import dummy
from gptoss.weights.dummy import DummyWeights
from tests.drill.fault import fault

SUITE = ("tests/gptoss/test_weights.py",)


@fault("1x1", suite=SUITE)
def make_all_experts_alike(patch):
    """All experts of a layer hold one expert's values, so that no mix-up of experts can be seen."""

    @patch.around(DummyWeights, "expert")
    def _(real, self, name, index):
        return real(self, name, 0)


@fault("1x1", suite=SUITE)
def draw_from_one_generator(patch):
    """Values come from one generator in the order in which tensors are asked for, not from their names."""
    drawn = []

    @patch.around(dummy, "_drawn")
    def _(real, levels, key, shape):
        drawn.append(key)
        return real(levels, str(len(drawn)), shape)


@fault("1x1", suite=SUITE)
def forget_the_seed(patch):
    """The seed does not enter the values."""

    @patch.around(dummy, "_drawn")
    def _(real, levels, key, shape):
        return real(levels, key.partition("/")[2], shape)

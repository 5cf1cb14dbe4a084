"""Faults of the tensor cache: entries that are found although something else was asked for, or that are not whole."""

from __future__ import annotations

from gptoss.weights import tensor_cache
from gptoss.weights.tensor_cache import TensorCache
from tests.drill.fault import fault

SUITE = ("tests/gptoss/test_tensor_cache.py",)


def without(patch, *names):
    """Let keys lack some of their parts."""

    @patch.around(TensorCache, "get")
    def _(real, self, key, make):
        return real(self, {part: value for part, value in key.items() if part not in names}, make)


@fault("1x1", suite=SUITE)
def forget_the_dtype(patch):
    """The dtype is not part of the key: a cell finds the weights of another dtype."""
    without(patch, "dtype")


@fault("1x1", suite=SUITE)
def forget_the_mesh(patch):
    """The mesh is not part of the key: a mesh finds the shards of another."""
    without(patch, "mesh", "mesh_config")


@fault("1x1", suite=SUITE)
def forget_the_layer(patch):
    """The layer is not part of the key: every layer finds the tensors of the first."""
    without(patch, "layer")


@fault("1x1", suite=SUITE)
def forget_whose_weights(patch):
    """The identity of the weights is not part of the key: one checkpoint finds another's tensors."""
    without(patch, "weights")


@fault("1x1", suite=SUITE)
def trust_every_file(patch):
    """Files are taken as they are, torn or changed ones too: their checksum is not looked at."""

    @patch.around(tensor_cache, "_checksum")
    def _(real, file):
        return 0

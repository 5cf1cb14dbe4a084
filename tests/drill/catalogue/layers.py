"""Faults between the parts: norms, residuals, and which layer a part takes its weights from."""

from __future__ import annotations

import re

import ttnn

from gptoss import layer as module
from gptoss import rms_norm
from gptoss.component import Component
from gptoss.rms_norm import RMSNorm
from gptoss.weights import Weights, expert_tensor
from tests.drill.fault import fault


class FirstLayer(Weights):
    """Weights that hand out those of layer 0, whichever layer's are asked for."""

    def __init__(self, weights):
        self.weights = weights

    def expert(self, name, index):
        return expert_tensor(self.weights, first(name), index)

    def __getitem__(self, name):
        return self.weights[first(name)]

    def __iter__(self):
        return iter(self.weights)

    def __len__(self):
        return len(self.weights)


def first(name):
    """Return a tensor's name in layer 0."""
    return re.sub(r"^model\.layers\.\d+", "model.layers.0", name)


@fault("1x1")
def use_other_epsilon(patch):
    """The norm adds 1e-6 to the mean square; the model's epsilon is 1e-5."""

    @patch.op(rms_norm, "rms_norm")
    def _(real, x, **options):
        return real(x, **(options | {"epsilon": 1e-6}))


@fault("1x1")
def skip_norm_weight(patch):
    """The norm divides by the root mean square and does not multiply by its weight."""

    @patch.op(rms_norm, "rms_norm")
    def _(real, x, *, weight, **options):
        return real(x, **options)


@fault("1x1")
def swap_the_norms_of_a_layer(patch):
    """A layer's two norms take each other's weights."""
    swapped = {"input_layernorm": "post_attention_layernorm", "post_attention_layernorm": "input_layernorm"}

    @patch.around(RMSNorm, "__init__")
    def _(real, self, *args, name="input_layernorm", **kwargs):
        real(self, *args, name=swapped.get(name, name), **kwargs)


@fault("1x1")
def skip_the_second_norm(patch):
    """The experts see hidden states that were never normalised."""

    @patch.around(RMSNorm, "__init__")
    def _(real, self, *args, name="input_layernorm", **kwargs):
        real(self, *args, name=name, **kwargs)
        if name == "post_attention_layernorm":
            self.prefill = lambda x: x


@fault("1x1")
def drop_residual(patch):
    """What attention and experts make replaces the stream; it should be added to it."""

    @patch.op(module, "add")
    def _(real, x, y):
        return y


@fault("1x4")
def load_first_layer_everywhere(patch):
    """Every layer loads the weights of layer 0."""

    @patch.around(Component, "__init__")
    def _(real, self, mesh_device, config, state_dict, *args, **kwargs):
        real(self, mesh_device, config, FirstLayer(state_dict), *args, **kwargs)


@fault("1x1")
def keep_the_stream_in_four_bits(patch):
    """The stream between layers is kept in four-bit blocks."""

    @patch.op(module, "add")
    def _(real, x, y):
        return ttnn.typecast(ttnn.typecast(real(x, y), ttnn.bfloat4_b), x.dtype)

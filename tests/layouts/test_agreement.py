"""A part that is split over the mesh computes what the same part, whole on each device, computes.

Both round the same weights to the cell's dtype, so they lie far closer to each other than to the float32 reference:
the floors of the components agreement_* hold them to that. Letters: S prompt length.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gptoss.attention import Attention
from gptoss.layer import DecoderLayer
from gptoss.mesh_config import MeshConfig, Split
from gptoss.model import Model
from gptoss.moe.mlp import MLP

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)
from . import users

DECODE_STEPS = 3


def unsplit(setup):
    """Return the setup in which every device holds and computes everything, as one device alone would."""
    return replace(setup, mesh_config=MeshConfig(setup.mesh_config.shape, decode=Split(), prefill=Split()))


def outputs(setup, kind, x):
    """Return what a part makes of the first S rows of ``x`` together, and of the rest one by one."""
    part = setup.build(kind)
    prompt, rest = setup.send(x[: setup.length]), [setup.send(x[t : t + 1]) for t in range(setup.length, len(x))]
    if kind is MLP:
        return {"prefill": part.prefill(prompt), "decode": TestFactory.in_sequence([part.decode(one) for one in rest])}
    cache = (part if kind is Attention else part.attention).new_cache(len(x))
    together = part.prefill(prompt, cache=cache)
    steps = [part.decode(one, t, cache) for t, one in enumerate(rest, start=setup.length)]
    return {"prefill": together, "decode": TestFactory.in_sequence(steps)}


def named(component, setup):
    """Return the component to judge by: on a mesh of one device the same is computed twice."""
    return component if setup.mesh_config.devices > 1 else "repeat"


@parametrize_mesh()
def test_split_parts_agree_with_whole_ones(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    length = setup.length + DECODE_STEPS
    inputs = {
        "attention": (Attention, setup.draws.hidden(length)),
        "mlp": (MLP, setup.draws.decided(length, layer=0)),
        "layer": (DecoderLayer, setup.draws.stream(length, layer=0)),
    }
    for name, (kind, x) in inputs.items():
        whole = outputs(unsplit(setup), kind, x)
        split = outputs(setup, kind, x)

        for mode, actual in split.items():
            expected = TestFactory.copies(whole[mode], mesh_device)[0, 0]
            component = named(f"agreement_{name}_{mode}", setup)
            assert TestFactory.compare_tensors(actual, expected, mesh_device, component=component)


@parametrize_mesh()
def test_split_model_agrees_with_a_whole_one(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    if not users.is_whole(setup):
        pytest.skip("this scale builds one layer: its parts are compared one by one")
    tokens = setup.draws.tokens(setup.length, setup.layers)

    whole = unsplit(setup).build(Model, layers=setup.layers).prefill(tokens)
    split = setup.build(Model, layers=setup.layers).prefill(tokens)

    expected = TestFactory.copies(whole, mesh_device)[0, 0]
    component = named("agreement_logits", setup)
    assert TestFactory.compare_tensors(split, expected, mesh_device, component=component, dims=setup.over_columns(-1))

"""A whole model generates, teacher-forced against the reference's greedy tokens.

Shares of agreement are held to the floors of the component "generation". Letters: S prompt length, N new tokens.
"""

from __future__ import annotations

import pytest
import torch

from gptoss.model import Model
from gptoss.testing.generation import greedy

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)


@parametrize_mesh()
def test_model_generates_as_the_reference(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    if setup.layers < setup.config.num_hidden_layers:
        pytest.skip(f"this scale builds {setup.layers} of {setup.config.num_hidden_layers} layers: no whole model")
    model = setup.build(Model)
    prompt = setup.draws.tokens(setup.length, setup.layers)
    new = greedy(setup.reference, prompt, layers=setup.layers)
    tokens = torch.cat([prompt, new]).tolist()
    caches = model.new_caches(len(tokens))

    outputs = [model.prefill(prompt, caches)]
    outputs += [model.decode(tokens[t], t, caches) for t in range(len(prompt), len(tokens) - 1)]

    assert TestFactory.compare_generation(
        outputs, new, mesh_device, component="generation", dims=setup.over_columns(-1)
    )

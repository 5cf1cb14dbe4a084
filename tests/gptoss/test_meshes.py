"""Meshes beyond the declared ones: any shape that the sizes divide by, in both layouts, and what the others say."""

from __future__ import annotations

import re

import pytest
import torch

from gptoss.mesh_config import MeshConfigError
from gptoss.model import Model
from tests.layouts import test_attention, test_model, users
from tests.test_factory import TestFactory

WIDE = {"num_experts_per_tok": 8}
BY_THREE = {
    "hidden_size": 192,
    "intermediate_size": 192,
    "num_attention_heads": 12,
    "num_key_value_heads": 6,
    "num_local_experts": 24,
    "num_experts_per_tok": 3,
    "vocab_size": 384,
}
ADMITTED = [
    ((2, 2), {}),
    ((2, 1), {}),
    ((4, 1), {}),
    ((4, 2), {}),
    ((2, 8), {}),
    ((8, 4), WIDE),
    ((8, 1), WIDE),
    ((1, 3), BY_THREE),
    ((3, 2), BY_THREE),
    ((3, 3), BY_THREE | {"num_local_experts": 27}),
]


def name_of(value):
    return "x".join(map(str, value)) if isinstance(value, tuple) else "resized" if value else "tiny"


@pytest.mark.parametrize(("shape", "sizes"), ADMITTED, ids=name_of)
def test_model_serves_users_on_any_mesh_that_divides(open_mesh, shape, sizes):
    torch.manual_seed(4)
    with open_mesh(*shape) as device:
        for setup in users.layouts(TestFactory.setup_test(device, **sizes)):
            test_attention.check_users(setup, (15, 32))
            test_model.check_users(setup, (3, 5))


REFUSED = [
    (
        (3, 2),
        {},
        "mesh 3x2: num_local_experts=32 does not divide by ep=3; num_experts_per_tok=4 does not divide by ep=3",
    ),
    ((8, 4), {}, "mesh 8x4: num_experts_per_tok=4 does not divide by ep=8"),
    ((1, 3), {}, "mesh 1x3: num_attention_heads=16 does not divide by tp=3; num_key_value_heads=8 does not divide by"),
    ((1, 16), {}, "mesh 1x16: num_key_value_heads=8 does not divide by tp=16"),
]


@pytest.mark.parametrize(("shape", "sizes", "message"), REFUSED, ids=name_of)
def test_mesh_that_does_not_divide_names_the_factors(open_mesh, shape, sizes, message):
    with open_mesh(*shape) as device:
        setup = TestFactory.setup_test(device, **sizes)
        with pytest.raises(MeshConfigError, match=re.escape(message)):
            setup.build(Model)

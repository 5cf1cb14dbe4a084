"""The same inputs on several meshes: closer to each other than to the float32 reference.

Whole on each device, a part computes bit for bit what it does on one device; split, it agrees within the floors of
the components agreement_*, from any mesh to any other.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from functools import partial

import pytest
import torch

from gptoss.attention import Attention
from gptoss.layer import DecoderLayer
from gptoss.model import Model
from gptoss.moe.mlp import MLP
from gptoss.testing.comparison import Limits, compare
from gptoss.testing.factory import Bench, TestFactory, bind
from meshsweep.cell import Cell
from tests.layouts.test_agreement import DECODE_STEPS, outputs, unsplit

MESHES = ("1x1", "1x8", "4x8")
KINDS = {"attention": Attention, "mlp": MLP, "layer": DecoderLayer}
SEED = 20


def results(setup):
    """Return every part's output for the same inputs on any mesh, as one whole copy on the host."""
    torch.manual_seed(SEED)
    length = setup.length + DECODE_STEPS
    inputs = {
        "attention": setup.draws.hidden(length),
        "mlp": setup.draws.decided(length, layer=0),
        "layer": setup.draws.stream(length, layer=0),
    }
    found = {
        f"agreement_{name}_{mode}": TestFactory.copies(made, setup.mesh_device)[0, 0]
        for name, x in inputs.items()
        for mode, made in outputs(setup, KINDS[name], x).items()
    }
    tokens = setup.draws.tokens(setup.length, setup.layers)
    logits = setup.build(Model, layers=setup.layers).prefill(tokens)
    whole = TestFactory.copies(logits, setup.mesh_device, setup.over_columns(-1))[0, 0]
    return found | {"agreement_logits": whole[..., : setup.config.vocab_size]}


@pytest.fixture(scope="module", params=["bfloat16", "bfloat8_b"])
def on_meshes(request, matrix):
    """Return dtype, and the results of split and of whole parts on every mesh."""
    from tests.gptoss.conftest import opened

    split, whole = {}, {}
    for mesh in MESHES:
        declared, scale = matrix.meshes[mesh], matrix.scales["tiny"]
        bench = Bench(
            mesh=mesh,
            dtype=request.param,
            config=scale.config,
            layers=scale.layers,
            decode=asdict(declared.decode),
            prefill=asdict(declared.prefill),
        )
        with opened(declared.shape.rows, declared.shape.cols) as device, bind(device, bench):
            setup = TestFactory.setup_test(device)
            split[mesh], whole[mesh] = results(setup), results(unsplit(setup))
    return request.param, split, whole


def test_whole_parts_are_bit_for_bit_the_same(on_meshes):
    _, _, whole = on_meshes

    differing = [
        (mesh, name)
        for mesh in MESHES
        for name, made in whole[mesh].items()
        if not torch.equal(made, whole["1x1"][name])
    ]
    assert differing == []


@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(MESHES, 2)])
def test_split_parts_agree_between_meshes(on_meshes, matrix, one, other):
    dtype, split, _ = on_meshes
    floor = partial(matrix.floor, cell=Cell(mesh=other, dtype=dtype, scale="tiny"))

    for name, expected in split[one].items():
        verdict = compare(
            split[other][name],
            expected,
            mesh_shape=(1, 1),
            limits=Limits.of(floor(name)),
            subject=f"{name}, {dtype}, {one} against {other}",
        )
        assert verdict


REFERENCE = {
    "agreement_logits": "model_prefill",
    **{f"agreement_{kind}_{mode}": f"{kind}_{mode}" for kind in KINDS for mode in ("prefill", "decode")},
}


@pytest.mark.parametrize(("agreement", "component"), [*REFERENCE.items()])
def test_meshes_are_held_closer_than_the_reference(matrix, agreement, component):
    cell = Cell(mesh="1x8", dtype="bfloat8_b", scale="tiny")
    between, from_float32 = matrix.floor(agreement, cell), matrix.floor(component, cell)

    assert 1 - between.pcc < (1 - from_float32.pcc) / 3
    assert between.max_error < from_float32.max_error / 1.5

"""The whole model on a 2x4 mesh: long prompts, and what it refuses."""

from __future__ import annotations

import re

import pytest
import torch

from gptoss.mesh_config import MeshConfigError
from gptoss.model import CHUNK, Model
from tests.layouts import users
from tests.test_factory import TestFactory

# Every expert is chosen, so that no near tie can part the model from its reference.
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_local_experts": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 128,
    "max_position_embeddings": 8192,
}


# As many as the throughput layout needs on eight devices.
EIGHT = SMALL | {"num_local_experts": 8, "num_experts_per_tok": 8}


@pytest.fixture
def setup(mesh):
    torch.manual_seed(6)
    return TestFactory.setup_test(mesh, **SMALL)


def test_prompt_longer_than_a_chunk_reaches_back_over_it(setup):
    model = setup.build(Model)
    tokens = torch.randint(0, 128, (CHUNK + 41,))
    caches = model.new_caches(len(tokens))
    expected = setup.reference.model(tokens, layers=2)

    logits = model.prefill(tokens[:-1], caches)
    answer = model.decode(int(tokens[-1]), len(tokens) - 1, caches)

    assert CHUNK == 4096
    dims = setup.over_columns(-1)
    late = TestFactory.copies(logits, setup.mesh_device, dims)[0, 0][:, :, CHUNK:]
    assert TestFactory.compare_tensors(logits, expected[:-1], setup.mesh_device, 0.999, dims=dims)
    assert TestFactory.compare_tensors(late, expected[None, None, CHUNK:-1], setup.mesh_device, 0.999)
    assert TestFactory.compare_tensors(answer, expected[-1:], setup.mesh_device, 0.999, dims=dims)


def test_rows_take_prompts_of_their_own_in_chunks(setup):
    _, setup = users.layouts(TestFactory.setup_test(setup.mesh_device, **EIGHT))
    model = setup.build(Model)
    tokens = torch.randint(0, 128, (2, 80))
    expected = torch.cat([setup.reference.model(row, layers=2) for row in tokens])

    logits = model.prefill(tokens, chunk=32)

    dims = (2, setup.over_columns(-1)[1])
    assert TestFactory.compare_tensors(logits, expected, setup.mesh_device, 0.995, dims=dims)


def test_mesh_of_four_rows_serves_128_users(open_mesh):
    torch.manual_seed(6)
    with open_mesh(4, 8) as device:
        sizes = {"num_local_experts": 32, "num_experts_per_tok": 32, "num_key_value_heads": 8, "num_attention_heads": 8}
        _, setup = users.layouts(TestFactory.setup_test(device, **SMALL | sizes))
        model = setup.build(Model)
        tokens = torch.randint(0, 128, (128, 3))
        expected = torch.stack([setup.reference.model(user, layers=2)[2] for user in tokens])
        caches = model.new_caches(32, users=128, block_size=32)
        for slot in range(32):
            model.prefill(tokens[slot::32, :2], caches, user=slot)

        logits = model.decode(tokens[:, 2], [2] * 128, caches)

        dims = (2, setup.over_columns(-1)[1])
        assert TestFactory.compare_tensors(logits, expected, device, 0.995, dims=dims)


def test_paged_layers_share_one_table(setup):
    caches = setup.build(Model).new_caches(64, users=2, block_size=32)

    assert caches[0].table is caches[1].table
    assert (caches[0].table.users, caches[0].table.pages, caches[0].table.blocks) == (2, 2, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, caches: model.prefill(torch.zeros(2, 32).int()), "token ids of shape [2, 32]; MeshConfig(2x4, "),
        (lambda model, caches: model.prefill(torch.zeros(0).int()), "takes [S]"),
        (lambda model, caches: model.prefill(torch.zeros(64).int(), chunk=40), "chunk of 40 tokens is not a multiple"),
        (
            lambda model, caches: model.decode([1, 2], [5], caches),
            "2 tokens at 1 positions; pass one of each for every",
        ),
        (lambda model, caches: model.decode([1] * 3, [5] * 3, caches), "input of 3 tokens for a cache of 2 users"),
        (lambda model, caches: model.decode([1] * 33, [5] * 33, caches), "the throughput layout shares them over"),
    ],
)
def test_what_no_layout_has_is_refused(setup, call, message):
    model = setup.build(Model, layers=1)

    with pytest.raises(ValueError, match=re.escape(message)):
        call(model, model.new_caches(64, users=2))


def test_rows_of_users_need_a_prompt_each(setup):
    _, setup = users.layouts(TestFactory.setup_test(setup.mesh_device, **EIGHT))
    model = setup.build(Model, layers=1)

    with pytest.raises(ValueError, match=re.escape("MeshConfig(2x4, tp=4, throughput) takes [2, S]")):
        model.prefill(torch.zeros(32).int())
    with pytest.raises(MeshConfigError, match="users=3 does not divide by rows=2, which share them out"):
        model.decode([1] * 3, [5] * 3, model.new_caches(64))

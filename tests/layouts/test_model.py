"""The whole model for several users in each layout and kind of cache, against the reference of each user alone.

Every comparison covers every device of the mesh; bounds come from matrix/floors.toml.
Letters: R rows that hold users of their own, B users of each, S prompt length, V vocabulary.
"""

from __future__ import annotations

import torch

from gptoss.model import Model

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)
from . import users

STEPS = 3
CHUNK = 32
# Drawing tokens that every router is clear about is slow, so few sequences are dealt out to all users. Three, so that
# neither neighbours nor neighbouring rows of two have the same.
DEALT = 3


def deal(setup, count, length):
    """Return token ids [R B, L] and the reference's logits [R B, L, V] of ``count`` users a row."""
    drawn = [setup.draws.tokens(length, setup.layers) for _ in range(min(DEALT, setup.mesh_config.user_rows * count))]
    answered = [setup.reference.model(tokens, layers=setup.layers) for tokens in drawn]
    whose = [user % len(drawn) for user in range(setup.mesh_config.user_rows * count)]
    return torch.stack([drawn[one] for one in whose]), torch.stack([answered[one] for one in whose])


def dims_of(setup):
    """Return the split of logits: users over rows that have their own, vocabulary over columns."""
    return (users.rows_split(setup, 2)[0], setup.over_columns(-1)[1])


def check_users(setup, prompts):
    """Serve users with prompts of these lengths from each kind of cache."""
    slots, length = len(prompts), max(prompts) + STEPS
    model = setup.build(Model, layers=setup.layers)
    sequences, whole = deal(setup, slots, length)
    planned = users.schedule(setup, prompts, STEPS)
    for block_size in users.block_sizes(setup):
        caches = model.new_caches(length, users=len(sequences), block_size=block_size)
        for slot, prompt in enumerate(prompts):
            tokens = sequences[slot::slots, :prompt]
            logits = model.prefill(tokens, caches, user=slot)
        outputs = [model.decode(users.tokens_at(sequences, at), at, caches) for at in planned]

        about = f"{setup.mesh_config}, blocks of {block_size}"
        last = whole[slots - 1 :: slots, : prompts[-1]].flatten(0, 1)
        assert TestFactory.compare_tensors(
            logits, last, setup.mesh_device, component="model_prefill", dims=dims_of(setup), about=about
        )
        actual, expected = users.answers(setup, outputs, planned), users.expected_answers(setup, whole, planned)
        assert TestFactory.compare_tensors(
            actual, expected, setup.mesh_device, component="model_decode", dims=dims_of(setup), about=about
        )


@parametrize_mesh()
def test_model_serves_several_users(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    edge = min(setup.config.sliding_window, 16)

    check_users(setup, (edge - 1, edge + 1))


@parametrize_mesh()
def test_model_serves_users_of_every_row(mesh_device, reset_seeds):
    _, setup = users.layouts(TestFactory.setup_test(mesh_device))
    edge = min(setup.config.sliding_window, 16)

    check_users(setup, (edge - 1, edge + 1))


@parametrize_mesh()
def test_model_takes_a_prompt_in_chunks(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    model = setup.build(Model, layers=setup.layers)
    tokens = setup.draws.tokens(CHUNK + 8, setup.layers)
    caches = model.new_caches(len(tokens) + 1, block_size=users.BLOCK)
    expected = setup.reference.model(tokens, layers=setup.layers)

    for about, own in (("caches of its own", None), ("paged caches", caches)):
        logits = model.prefill(tokens, own, chunk=CHUNK)

        assert TestFactory.compare_tensors(
            logits, expected, mesh_device, component="model_prefill", dims=dims_of(setup), about=about
        )

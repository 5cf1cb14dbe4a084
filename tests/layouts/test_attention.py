"""Attention for several users in each layout and kind of cache, against the reference of each user alone.

Every comparison covers every device of the mesh; bounds come from matrix/floors.toml.
Letters: R rows that hold users of their own, B users of each, S prompt length, H hidden.
"""

from __future__ import annotations

import torch

from gptoss.attention import Attention

from ..test_factory import TestFactory, parametrize_mesh  # noqa: TID252  (as the guide writes it)
from . import users

LAYERS = (0, 1)  # sliding window, then full
STEPS = 4


def sequences_of(setup, count, length):
    """Return hidden states [R B, L, H] of ``count`` users a row."""
    rows = setup.mesh_config.user_rows
    return torch.stack([setup.draws.hidden(length) for _ in range(rows * count)])


def prefill(setup, attention, sequences, prompts, cache):
    """Fill each slot of each row with its prompt, the last slot first."""
    for slot in reversed(range(len(prompts))):
        x = sequences[slot :: len(prompts), : prompts[slot]]
        attention.prefill(users.send_prompts(setup, x), cache=cache, user=slot)


def decode(setup, attention, sequences, planned, cache):
    """Return the outputs [1, 1, B, H] of every step."""
    return [
        attention.decode(users.send_tokens(setup, users.tokens_at(sequences, positions)), positions, cache)
        for positions in planned
    ]


def check_users(setup, prompts):
    """Serve users with prompts of these lengths, in every kind of layer and cache."""
    length = max(prompts) + STEPS
    sequences = sequences_of(setup, len(prompts), length)
    planned = users.schedule(setup, prompts, STEPS)
    for layer in LAYERS:
        attention = setup.build(Attention, layer=layer)
        whole = torch.stack([setup.reference.attention(x, layer) for x in sequences])
        expected = users.expected_answers(setup, whole, planned)
        for kind, cache in users.caches(setup, attention, length=length, users=len(sequences)):
            prefill(setup, attention, sequences, prompts, cache)
            outputs = decode(setup, attention, sequences, planned, cache)

            actual = users.answers(setup, outputs, planned)
            about = f"layer {layer}, {kind} cache, {setup.mesh_config}"
            assert TestFactory.compare_tensors(
                actual,
                expected,
                setup.mesh_device,
                component="attention_decode",
                dims=users.rows_split(setup, 2),
                about=about,
            )


@parametrize_mesh()
def test_users_decode_at_positions_of_their_own(mesh_device, reset_seeds):
    setup = TestFactory.setup_test(mesh_device)
    window = setup.config.sliding_window

    # The first crosses the edge of the window, the others start beyond it. Nine fill more than one row of cores.
    check_users(setup, (window - 1, setup.length, *range(window + 5, window + 12)))


@parametrize_mesh()
def test_rows_hold_users_of_their_own(mesh_device, reset_seeds):
    _, setup = users.layouts(TestFactory.setup_test(mesh_device))

    check_users(setup, (setup.config.sliding_window - 1, setup.length))


@parametrize_mesh()
def test_every_device_decodes_32_users(mesh_device, reset_seeds):
    _, setup = users.layouts(TestFactory.setup_test(mesh_device))
    attention = setup.build(Attention)
    prompts = (setup.length,) * 32
    # Few sequences for many users; neighbours, and the same slots of neighbouring rows, have different ones.
    drawn = torch.stack([setup.draws.hidden(setup.length + 2) for _ in range(5)])
    whose = torch.arange(32 * setup.mesh_config.user_rows) % 5
    sequences = drawn[whose]
    planned = users.schedule(setup, prompts, 2)
    whole = torch.stack([setup.reference.attention(x, 0) for x in drawn])[whose]
    for kind, cache in users.caches(setup, attention, length=setup.length + 2, users=len(sequences)):
        prefill(setup, attention, sequences, prompts, cache)
        outputs = decode(setup, attention, sequences, planned, cache)

        actual, expected = users.answers(setup, outputs, planned), users.expected_answers(setup, whole, planned)
        about = f"{len(sequences)} users, {kind} cache"
        assert TestFactory.compare_tensors(
            actual,
            expected,
            mesh_device,
            component="attention_decode",
            dims=users.rows_split(setup, 2),
            about=about,
        )


@parametrize_mesh()
def test_prompt_in_chunks_attends_to_earlier_ones(mesh_device, reset_seeds):
    for setup in users.layouts(TestFactory.setup_test(mesh_device)):
        chunk = setup.length
        length = 2 * chunk + 20
        sequences = sequences_of(setup, 2, length)
        for layer in LAYERS:
            attention = setup.build(Attention, layer=layer)
            second = sequences[1::2]
            expected = torch.cat([setup.reference.attention(x, layer) for x in second])
            for kind, cache in users.caches(setup, attention, length=length, users=len(sequences)):
                prefill(setup, attention, sequences[0::2], (chunk,), cache)
                parts = [
                    attention.prefill(
                        users.send_prompts(setup, second[:, start : start + chunk]), cache=cache, user=1, start=start
                    )
                    for start in range(0, length, chunk)
                ]

                about = f"layer {layer}, {kind} cache, {setup.mesh_config}"
                assert TestFactory.compare_tensors(
                    TestFactory.in_sequence(parts),
                    expected,
                    mesh_device,
                    component="attention_prefill",
                    dims=users.rows_split(setup, 2),
                    about=about,
                )

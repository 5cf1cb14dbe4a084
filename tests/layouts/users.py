"""Users of a mesh who are served together: where their prompts and tokens lie, who speaks when, what is expected.

Letters: R rows that hold users of their own (1 in the low-latency layout), B users of each, L tokens of a sequence,
H hidden. User r * B + b is slot b of row r.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import ttnn

from gptoss.attention import PageTable
from gptoss.component import place

BLOCK = 32


def layouts(setup):
    """Yield the setup in the low-latency and in the throughput layout."""
    yield setup
    yield replace(setup, mesh_config=setup.mesh_config.for_throughput())


def rows_split(setup, dim):
    """Return the split of a tensor whose ``dim`` the rows cut if they hold users of their own."""
    return (dim if setup.mesh_config.user_rows > 1 else None, None)


def send_prompts(setup, x):
    """Return hidden states [R, S, H], one prompt a row, as [1, 1, S, H] on each device."""
    return place(setup.mesh_device, x[:, None], dims=rows_split(setup, 0))


def send_tokens(setup, x):
    """Return hidden states [R B, H], one token a user, as [1, 1, B, H] on each device."""
    return place(setup.mesh_device, x[None, None], dims=rows_split(setup, 2))


def scattered(setup, *, length, users):
    """Return a table of pages whose blocks lie in random order, so that users lie between one another."""
    blocks = users // setup.mesh_config.user_rows * -(-length // BLOCK)
    order = torch.randperm(blocks).tolist()
    return PageTable(setup.mesh_device, setup.mesh_config, length=length, users=users, block_size=BLOCK, order=order)


def is_whole(setup):
    """Say whether the scale builds all of its layers; of a real size, which takes long, it builds one."""
    return setup.layers == setup.config.num_hidden_layers


def block_sizes(setup):
    """Return the block sizes of the caches to serve from: none for a contiguous one, where there is time for both."""
    return (None, BLOCK) if is_whole(setup) else (BLOCK,)


def caches(setup, attention, *, length, users):
    """Yield each kind of cache by name, for ``users`` users of the mesh."""
    if is_whole(setup):
        yield "contiguous", attention.new_cache(length, users=users)
    yield "paged", attention.new_paged_cache(scattered(setup, length=length, users=users))


def schedule(setup, prompts, steps):
    """Return the position of every user at each step, -1 while it has no token.

    ``prompts`` are the prompt lengths of the slots. One slot of each row waits, another one at each step and row, so
    that no two users stay at the same position.
    """
    rows, slots = setup.mesh_config.user_rows, len(prompts)
    at = [list(prompts) for _ in range(rows)]
    planned = []
    for step in range(steps):
        positions = []
        for row in range(rows):
            for slot in range(slots):
                waits = slots > 1 and slot == (row + step) % slots
                positions.append(-1 if waits else at[row][slot])
                at[row][slot] += not waits
        planned.append(positions)
    return planned


def tokens_at(sequences, positions):
    """Return the token of each user [R B, ..] out of sequences [R B, L, ..]; a waiting user gets its last."""
    return torch.stack([sequence[at] for sequence, at in zip(sequences, positions, strict=True)])


def spoken(setup, planned):
    """Return of each row the (step, slot, position) of every token that some user had."""
    slots = len(planned[0]) // setup.mesh_config.user_rows
    return [
        [
            (step, slot, positions[row * slots + slot])
            for step, positions in enumerate(planned)
            for slot in range(slots)
            if positions[row * slots + slot] >= 0
        ]
        for row in range(setup.mesh_config.user_rows)
    ]


def answers(setup, outputs, planned):
    """Return of each device the rows [1, 1, N, H] of the outputs, one [1, 1, B, H] a step, of users who spoke."""
    asked = spoken(setup, planned)
    devices = list(zip(*(ttnn.get_device_tensors(output) for output in outputs), strict=True))
    columns = setup.mesh_config.shape[1]
    found = []
    for device, shards in enumerate(devices):
        steps = [ttnn.to_torch(shard) for shard in shards]
        row = device // columns if setup.mesh_config.user_rows > 1 else 0
        found.append(torch.stack([steps[step][0, 0, slot] for step, slot, _ in asked[row]])[None, None])
    return found


def expected_answers(setup, whole, planned):
    """Return what `answers` should be, joined over rows: [R N, H] out of what the reference says, [R B, L, H]."""
    slots = len(planned[0]) // setup.mesh_config.user_rows
    return torch.stack(
        [
            whole[row * slots + slot][position]
            for row, asked in enumerate(spoken(setup, planned))
            for _, slot, position in asked
        ]
    )

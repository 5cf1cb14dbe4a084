"""Attend with one query per user over caches of keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ttemu.attention.formula import Scores, attend_masked
from ttemu.attention.inputs import KINDS, check_window, grid_of
from ttemu.axes import MESH_DIMS, cut
from ttemu.configs import SDPAProgramConfig
from ttemu.demands import need_dtype, need_memory, need_rank, need_tensor, refuse
from ttemu.dtypes import DataType, Layout
from ttemu.frame import check_same_device, read, stored, write
from ttemu.memory import DRAM_MEMORY_CONFIG, TILE_SIZE, MemoryConfig, check_shards
from ttemu.shapes import FULL_RANK
from ttemu.tensor import Tensor, padded_extents

__all__ = [
    "Call",
    "attend",
    "check_devices",
    "check_grid",
    "check_heads",
    "check_inputs",
    "held_positions",
    "read_mask",
    "scaled_dot_product_attention_decode",
]

_DECODE = "transformer.scaled_dot_product_attention_decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments that both ops have."""

    op: str
    query: Tensor
    keys: Tensor
    values: Tensor
    causal: bool
    mask: Tensor | None
    sink: Tensor | None
    scale: float | None
    window: int | None
    memory_config: MemoryConfig | None
    program_config: SDPAProgramConfig | None


def check_devices(call: Call, *others: Tensor | None) -> None:
    """Refuse tensors without memory on the device of the others."""
    tensors = (call.query, call.keys, call.values, call.mask, call.sink, *others)
    need_tensor(call.op, call.query, call.keys, call.values)
    need_memory(call.op, call.query)
    for tensor in tensors:
        if tensor is not None:
            stored(call.op, tensor)
    check_same_device(call.op, *tensors)


def check_inputs(call: Call) -> None:
    """Refuse layouts, dtypes and head counts that decode attention does not take."""
    op, query = call.op, call.query
    for tensor in (call.keys, call.values):
        if tensor.layout is not Layout.TILE:
            refuse(op, f"keys and values must be in TILE layout, got {tensor.layout.name}")
    if query.layout is Layout.ROW_MAJOR and not query.is_sharded():
        refuse(op, "the query is in ROW_MAJOR layout and not sharded: put it in TILE layout or shard it")
    for tensor in (query, call.keys, call.values):
        need_dtype(op, tensor, KINDS)
    if call.causal and call.mask is not None:
        refuse(op, "attn_mask must not be provided when is_causal=True: they cannot be given together")


def check_heads(call: Call) -> None:
    """Refuse heads that do not share keys evenly, and what ttnn cannot do for several key heads."""
    op, heads, kv_heads = call.op, call.query.extents[2], call.keys.extents[1]
    if kv_heads != call.values.extents[1]:
        refuse(op, f"heads of K {call.keys.shape} must match those of V {call.values.shape}")
    if heads % kv_heads:
        refuse(op, f"Q num_heads {heads} must be divisible by K num_heads {kv_heads}")
    if kv_heads > 1 and call.query.dtype is not DataType.BFLOAT16:
        refuse(op, f"several K heads need dtype BFLOAT16 for Q, got {call.query.dtype.name}")
    if kv_heads > 1 and call.memory_config is not None and call.memory_config.is_sharded():
        refuse(op, "Sharded output not supported for GQA; ask for DRAM and call to_memory_config")
    if call.query.layout is Layout.ROW_MAJOR and (call.memory_config is None or not call.memory_config.is_sharded()):
        refuse(op, "a ROW_MAJOR query needs a HEIGHT_SHARDED output")


def check_grid(call: Call, batch: int) -> None:
    """Refuse a program config without a core for each user, or with more than the chip has."""
    if call.program_config is None or call.query.mesh is None:
        return
    chunk = call.program_config.k_chunk_size
    if chunk & (chunk - 1):
        refuse(call.op, f"k_chunk_size must be a power of 2, got {chunk}")
    grid = call.query.mesh.compute_with_storage_grid_size()
    cores = grid_of(call.program_config.compute_with_storage_grid_size)
    if cores < batch:
        refuse(call.op, f"number of cores {cores} must not be less than the {batch} users")
    if cores > grid.x * grid.y:
        refuse(call.op, f"number of cores {cores} exceeds the grid of {grid.x * grid.y}")


def _sink(call: Call) -> torch.Tensor | None:
    """Return sink logits [N, 32], each in column 0 of its row, as [r, c, 1, K, G, 1, 1]."""
    op, sink, heads = call.op, call.sink, call.query.extents[2]
    if sink is None:
        return None
    need_dtype(op, sink, (DataType.BFLOAT16,))
    padded_heads = padded_extents(call.query.extents, Layout.TILE)[2]
    if len(sink.extents) != 2 or sink.padded != (padded_heads, TILE_SIZE):
        refuse(op, f"attention sink must have shape [{heads}, {TILE_SIZE}], got {sink.shape}")
    if sink.extents[0] < heads:
        refuse(op, f"attention sink must have shape [{heads}, {TILE_SIZE}], got {sink.shape}; ttnn reads its padding")
    logits = read(op, sink)[..., :heads, 0]
    return logits.reshape(*logits.shape[:MESH_DIMS], 1, call.keys.extents[1], -1, 1, 1)


def read_mask(call: Call, keys: int, *, checked: bool) -> torch.Tensor | None:
    """Return a mask [1, B, N, S] or [B, 1, N, S] as [r, c, B, K, G, 1, S]."""
    mask, op, heads = call.mask, call.op, call.query.extents[2]
    if mask is None:
        return None
    need_dtype(op, mask, KINDS)
    need_rank(op, mask, FULL_RANK)
    if mask.extents[2] != heads or mask.layout is not Layout.TILE:
        refuse(op, f"mask {mask.shape} must match the {heads} heads of Q, in tiles")
    if mask.extents[3] != keys and checked:
        refuse(op, f"mask {mask.shape} must match the {keys} keys")
    if mask.extents[3] != keys or mask.extents[0] * mask.extents[1] not in {1, call.query.extents[1]}:
        refuse(op, f"mask {mask.shape} must match [1, B, N, S]; the real library reads other values")
    rows = read(op, mask)
    per_user = rows.flatten(2, 3)
    return cut(per_user, 3, (call.keys.extents[1], -1)).unsqueeze(-2)


def _listed(op: str, cur_pos: Sequence[int], batch: int, keys: int) -> torch.Tensor:
    """Return positions given as a list: [1, 1, B]."""
    if len(cur_pos) < batch:
        raise IndexError(f"ttnn.{op}: cur_pos has {len(cur_pos)} entries for {batch} users, the next is out of bounds")
    if any(position >= keys for position in cur_pos[:batch]):
        refuse(op, f"a position in {list(cur_pos)} lies outside the {keys} keys of the cache")
    return torch.tensor([[list(cur_pos[:batch])]], dtype=torch.int32)


def held_positions(op: str, tensor: Tensor, batch: int, *, exact: bool) -> torch.Tensor:
    """Return positions held by a tensor: [r, c, B]."""
    if tensor.layout is not Layout.ROW_MAJOR or any(extent != 1 for extent in tensor.extents[:-1]):
        refuse(op, f"cur_pos tensor must hold all positions in its last dim, in ROW_MAJOR layout, got {tensor}")
    count = tensor.extents[-1] if tensor.extents else 1
    if count < batch or (exact and count != batch):
        refuse(op, f"cur_pos must have shape [{batch}], one position per user, got {tensor.shape}")
    raw = read(op, tensor)
    return raw.reshape(*raw.shape[:MESH_DIMS], -1)[..., :batch]


def attend(
    call: Call, k: torch.Tensor, v: torch.Tensor, positions: torch.Tensor | None, bias: torch.Tensor | None
) -> Tensor:
    """Return attention of q [1, B, N, D] over k, v [r, c, B, K, S, D]."""
    op, query = call.op, call.query
    width, kv_heads, keys = query.extents[3], k.shape[3], k.shape[4]
    how = Scores(scale=width**-0.5 if call.scale is None else call.scale, window=call.window, sink=_sink(call))
    # The decode kernel scales the mask with the scores (tt-metal #55337); prefill adds it unscaled.
    bias = None if bias is None else bias * how.scale
    hidden = None
    if positions is not None:
        if positions.numel() and int(positions.max()) >= keys:
            refuse(op, f"cur_pos {int(positions.max())} lies beyond the {keys} keys, the real library reads past them")
        # Keys that no user sees cost nothing.
        keys = max(int(positions.max()) + 1, 1)
        k, v = k[..., :keys, :], v[..., :keys, :]
        hidden = _unseen(positions, keys, how.window)
    elif how.window is not None:
        hidden = torch.arange(keys) < keys - 1 - how.window // 2
    grouped = cut(read(op, query)[:, :, 0], 3, (kv_heads, -1)).unsqueeze(-2)
    result = attend_masked(grouped, k.unsqueeze(4), v.unsqueeze(4), how, hidden, bias)
    if positions is not None and bool((positions < 0).any()):
        # A user at position -1 is skipped.
        result = result.masked_fill((positions < 0)[..., None, None, None, None], 0.0)
    joined = result.squeeze(-2).flatten(3, 4).unsqueeze(2)
    return write(op, joined, query, memory_config=call.memory_config or DRAM_MEMORY_CONFIG)


def _unseen(positions: torch.Tensor, keys: int, window: int | None) -> torch.Tensor:
    """Return which keys lie behind each user's position, or before its window: [r, c, B, 1, 1, 1, S]."""
    newest = positions[..., None, None, None, None]
    index = torch.arange(keys)
    hidden = index > newest
    return hidden if window is None else hidden | (index <= newest - window)


def scaled_dot_product_attention_decode(
    input_tensor_q: Tensor,
    input_tensor_k: Tensor,
    input_tensor_v: Tensor,
    *,
    is_causal: bool = True,
    attn_mask: Tensor | None = None,
    cur_pos: Sequence[int] = (),
    cur_pos_tensor: Tensor | None = None,
    attention_sink: Tensor | None = None,
    scale: float | None = None,
    sliding_window_size: int | None = None,
    memory_config: MemoryConfig | None = None,
    program_config: SDPAProgramConfig | None = None,
    compute_kernel_config: object = None,
    share_cache: bool | None = None,
) -> Tensor:
    """Return attention of one query per user, q [1, B, N, D], over caches [B, K, S, D]; the sink is scaled too."""
    del compute_kernel_config
    op = _DECODE
    if share_cache:
        raise NotImplementedError(f"ttnn.{op} with share_cache is not emulated")
    call = Call(
        op=op,
        query=input_tensor_q,
        keys=input_tensor_k,
        values=input_tensor_v,
        causal=is_causal,
        mask=attn_mask,
        sink=attention_sink,
        scale=scale,
        window=check_window(op, sliding_window_size),
        memory_config=memory_config,
        program_config=program_config,
    )
    check_devices(call, cur_pos_tensor)
    check_inputs(call)
    _check_caches(call)
    batch, keys = input_tensor_q.extents[1], input_tensor_k.extents[2]
    positions = None
    if is_causal:
        positions = (
            _listed(op, cur_pos, batch, keys)
            if cur_pos_tensor is None
            else held_positions(op, cur_pos_tensor, batch, exact=False)
        )
    check_heads(call)
    bias = read_mask(call, keys, checked=True)
    check_grid(call, batch)
    return attend(call, read(op, input_tensor_k), read(op, input_tensor_v), positions, bias)


def _check_caches(call: Call) -> None:
    """Refuse caches that do not hold the same for every user of the query."""
    op, q, k, v = call.op, call.query, call.keys, call.values
    if len(q.extents) == FULL_RANK and q.extents[0] != 1:
        refuse(op, f"dim 0 of Q {q.shape} must match 1")
    if call.memory_config is not None and q.mesh is not None:
        # ttnn lays the output out for the users of the cache before it counts those of the query.
        padded = (1, k.extents[0], *padded_extents(q.extents, Layout.TILE)[-2:])
        check_shards(f"ttnn.{op}", call.memory_config, padded, q.mesh.compute_with_storage_grid_size(), tiled=True)
    for cache in (k, v):
        if cache.extents[0] != q.padded[1]:
            refuse(op, f"batch of cache {cache.shape} must match that of Q {q.shape}")
    for tensor in (q, k, v):
        need_rank(op, tensor, FULL_RANK)
    if k.extents[3] != q.extents[3] or v.extents[3] != q.extents[3]:
        refuse(op, f"width of K {k.shape} and V {v.shape} must match that of Q {q.shape}")
    if k.extents[2] != v.extents[2]:
        refuse(op, f"keys of K {k.shape} must match those of V {v.shape}")
    chunk = 0 if call.program_config is None else call.program_config.k_chunk_size
    if chunk and k.padded[2] % chunk:
        refuse(op, f"the {k.padded[2]} keys must be a multiple of k_chunk_size {chunk}")
    if k.extents[2] % TILE_SIZE:
        refuse(op, f"k_chunk_size must be a multiple of {TILE_SIZE}, the cache has {k.extents[2]} keys")

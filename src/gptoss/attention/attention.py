"""Attend with grouped queries, sinks and, on even layers, a sliding window.

Letters: S sequence, B users of one device, H hidden (padded to tiles after o_proj), D head_dim, Nq and Nk query and
kv heads of one device. Heads are split over columns; rows all do the same, each for its own users where it has any.
"""

from __future__ import annotations

from typing import Any

import torch
import ttnn

from gptoss.attention.kv_cache import KVCache
from gptoss.attention.page_table import PageTable
from gptoss.attention.paged_cache import PagedKVCache
from gptoss.attention.rope import PerUser, Rope, head_sharded, pair_order
from gptoss.component import Component, flat, pad_last, precise, reshape_like, tile_up
from gptoss.mesh_config import COL_AXIS, TILE

__all__ = ["Attention"]


class Attention(Component):
    """Self-attention of one layer, for one user's prompt (prefill) and a token of every user (decode)."""

    def __init__(self, *args: Any, rope: Rope | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rope = rope or Rope(self.mesh_device, self.config, user_rows=self.mesh_config.user_rows)
        self.num_heads = self.config.num_attention_heads // self.tp
        self.num_kv_heads = self.config.num_key_value_heads // self.tp
        # As float32 has it: the chunked kernel takes no number that would lose digits.
        self.scale = torch.tensor(self.config.head_dim, dtype=torch.float32).rsqrt().item()
        self.window = self.config.sliding_window if self.layer % 2 == 0 else None
        self._load_qkv()
        self._load_output()
        self._load_sinks()

    def new_cache(self, length: int, *, users: int | None = None, block_size: int | None = None) -> KVCache:
        """Return an empty cache of this layer for users of ``length`` tokens each, one a row if not said.

        With a block size it is paged; layers that share one table of pages have `new_paged_cache`.
        """
        if block_size is not None:
            table = PageTable(self.mesh_device, self.mesh_config, length=length, users=users, block_size=block_size)
            return self.new_paged_cache(table)
        return KVCache(*self._placement(), length=length, users=users, dtype=self._cache_dtype())

    def new_paged_cache(self, table: PageTable) -> PagedKVCache:
        """Return an empty cache of this layer whose blocks ``table`` hands out."""
        return PagedKVCache(*self._placement(), table=table, dtype=self._cache_dtype())

    def __call__(self, x: Any) -> Any:
        """Return causal attention over one prompt [.., S, H], same shape."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(
        self,
        x: Any,
        *,
        cache: KVCache | None = None,
        rotation: tuple[Any, Any] | None = None,
        user: int = 0,
        start: int = 0,
    ) -> Any:
        """Return [1, 1, S, H] for a prompt [1, 1, S, H], and fill the cache of user ``user`` if there is one.

        A prompt that is cut into chunks comes chunk by chunk, each with the position where it starts.
        """
        if start and cache is None:
            raise ValueError(f"prompt from position {start}: pass the cache that holds what comes before")
        rotation = rotation or self.rope.rows(x.shape[2], start)
        q, k, v = ttnn.experimental.nlp_create_qkv_heads(
            self._project(x),
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            transpose_k_heads=False,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )
        q, k = self.rope.prefill(q, rotation), self.rope.prefill(k, rotation)
        if cache:
            k, v = cache.fill(k, v, user=user, start=start)
        heads = self.attend_after(q, cache, user, start) if cache and start else self.attend(q, k, v)
        return self._output(ttnn.experimental.nlp_concat_heads(heads, memory_config=ttnn.DRAM_MEMORY_CONFIG))

    def decode(
        self,
        x: Any,
        positions: PerUser,
        cache: KVCache,
        *,
        rotation: tuple[Any, Any] | None = None,
    ) -> Any:
        """Return [1, 1, B, H] for a token of each user [1, 1, B, H], which the cache then holds.

        ``positions`` are those of all users of the mesh, or the one position of one user; -1 is a user without a token.
        """
        if x.shape[2] != cache.local_users:
            raise ValueError(f"input of {x.shape[2]} tokens for a cache of {cache.local_users} users on each device")
        at = cache.positions(positions)
        rotation = rotation or self.rope.row(positions)
        q, k, v = ttnn.experimental.nlp_create_qkv_heads_decode(
            self._project(x),
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            memory_config=ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG,
        )
        q, k = self.rope.decode(q, rotation), self.rope.decode(k, rotation)
        cache.update(k, v, at)
        return self._output(self._concat_decode(self.attend_cached(q, cache, at)))

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """Return [1, Nq, S, D]: each query on the keys up to its own, in the window, beside the sink."""
        return ttnn.transformer.scaled_dot_product_attention(
            q, k, v, is_causal=True, attention_sink=self.sinks, **self._scores()
        )

    def attend_after(self, q: Any, cache: KVCache, user: int, start: int) -> Any:
        """Return [1, Nq, S, D]: queries from ``start`` on, each on the cached keys up to its own."""
        return cache.attend_prompt(
            q,
            user=user,
            start=start,
            attention_sink=self.sinks,
            program_config=self._program(),
            **self._scores(),
        )

    def attend_cached(self, q: Any, cache: KVCache, positions: Any) -> Any:
        """Return [1, B, Nq, D]: each user's query on its tokens up to ``positions``, an int32 tensor [B]."""
        # With several kv heads on a device the kernel refuses a sharded output.
        return cache.attend(
            q,
            positions,
            attention_sink=self.decode_sinks,
            program_config=self._program(),
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
            **self._scores(),
        )

    def _scores(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "sliding_window_size": self.window,
            "compute_kernel_config": precise(),
        }

    def _placement(self) -> tuple[Any, ...]:
        return self.mesh_device, self.config, self.mesh_config

    def _cache_dtype(self) -> Any:
        return ttnn.bfloat16 if self.dtype == ttnn.bfloat16 else ttnn.bfloat8_b

    def _program(self) -> Any:
        grid = self.mesh_device.compute_with_storage_grid_size()
        # The kernel joins at most 64 cores a head, and the grids of some chips are larger.
        return ttnn.SDPAProgramConfig(
            compute_with_storage_grid_size=ttnn.CoreCoord(min(grid.x, 8), min(grid.y, 8)),
            q_chunk_size=TILE,
            k_chunk_size=TILE,
            exp_approx_mode=False,
        )

    def _concat_decode(self, heads: Any) -> Any:
        """Join [1, B, Nq, D] to [1, 1, B, Nq D]; the kernel returns a whole tile of rows."""
        users = heads.shape[1]
        config = head_sharded(self.mesh_device, self.config.head_dim, self.num_heads, users)
        joined = ttnn.experimental.nlp_concat_heads_decode(
            ttnn.to_memory_config(heads, config),
            num_heads=self.num_heads,
            # Users on cores that form no rectangle are legal only with the cores named that may take part.
            sub_core_grids=self._cores(),
        )
        joined = ttnn.to_memory_config(joined, ttnn.DRAM_MEMORY_CONFIG)
        return ttnn.slice(joined, [0, 0, 0, 0], [1, 1, users, joined.shape[-1]])

    def _cores(self) -> Any:
        """Return all cores of a device."""
        grid = self.mesh_device.compute_with_storage_grid_size()
        last = ttnn.CoreCoord(grid.x - 1, grid.y - 1)
        return ttnn.CoreRangeSet({ttnn.CoreRange(ttnn.CoreCoord(0, 0), last)})

    def _project(self, x: Any) -> Any:
        return ttnn.linear(x, self.qkv, bias=self.qkv_bias, compute_kernel_config=precise())

    def _output(self, joined: Any) -> Any:
        y = ttnn.linear(joined, self.out, bias=self.out_bias, compute_kernel_config=precise())
        if self.tp == 1:
            return y
        y = self.ccl.reduce_scatter(y, 3, COL_AXIS)
        y = self.ccl.all_gather(y, 3, COL_AXIS)
        if y.shape[3] == self.config.hidden_size:
            return y
        return ttnn.slice(y, [0, 0, 0, 0], [1, 1, y.shape[2], self.config.hidden_size])

    def _load_qkv(self) -> None:
        """Load q, k and v as one matrix [H, total] whose column chunks are [q_c | k_c | v_c]."""
        self.qkv = self.cached(
            "self_attn.qkv",
            lambda: self._joined("weight")[None, None],
            dims=self.over_columns(-1),
            dtype=self.dtype,
        )
        self.qkv_bias = None
        if self.config.attention_bias:
            self.qkv_bias = self.split(self._joined("bias").reshape(1, 1, 1, -1), -1)

    def _joined(self, kind: str) -> torch.Tensor:
        """Return the weights [H, total] or biases [total] of q, k and v."""
        return self._interleave([self._rows(name, kind).t() for name in ("q_proj", "k_proj", "v_proj")])

    def _rows(self, name: str, kind: str) -> torch.Tensor:
        """Return a weight [N D, H] or bias [N D], q and k in adjacent-pair order."""
        rows = self.weight(f"self_attn.{name}.{kind}")
        if name == "v_proj":
            return rows
        return rows[pair_order(len(rows) // self.config.head_dim, self.config.head_dim)]

    def _interleave(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Join along the last dim so that column c holds chunk c of each part."""
        chunks = [part.chunk(self.tp, dim=-1) for part in parts]
        return torch.cat([chunk[c] for c in range(self.tp) for chunk in chunks], dim=-1)

    def _load_output(self) -> None:
        """Load o_proj as [Nq D, H], rows split over columns, H padded to whole tiles a device."""
        hidden = self.config.hidden_size
        width = hidden if self.tp == 1 else tile_up(-(-hidden // self.tp)) * self.tp
        self.out = self.cached(
            "self_attn.o_proj",
            lambda: pad_last(self.weight("self_attn.o_proj.weight").T, width)[None, None],
            dims=self.over_columns(-2),
            dtype=self.dtype,
        )
        self.out_bias = None
        if self.config.attention_bias:
            bias = pad_last(self.weight("self_attn.o_proj.bias"), width)
            self.out_bias = self.bias_once(bias.reshape(1, 1, 1, -1))

    def _load_sinks(self) -> None:
        """Load the sinks divided by the scale, which the kernels multiply them by."""
        sinks = self.weight("self_attn.sinks") / self.scale
        self.sinks = self.split(sinks.reshape(1, -1, 1, 1), 1)
        self.decode_sinks = self.split(pad_last(sinks.reshape(-1, 1), TILE), 0)

"""Attend with grouped queries, sinks and, on even layers, a sliding window.

Letters: S sequence, H hidden (padded to tiles after o_proj), D head_dim, Nq and Nk query and kv heads
of one device. Heads are split over columns; rows all do the same.
"""

from __future__ import annotations

from typing import Any

import torch
import ttnn

from gptoss.attention.kv_cache import KVCache
from gptoss.attention.rope import Rope, head_sharded, pair_order
from gptoss.component import Component, flat, pad_last, precise, reshape_like, tile_up
from gptoss.mesh_config import COL_AXIS, TILE

__all__ = ["Attention"]


class Attention(Component):
    """Self-attention of one layer, for prompts (prefill) and single tokens (decode)."""

    def __init__(self, *args: Any, rope: Rope | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rope = rope or Rope(self.mesh_device, self.config)
        self.num_heads = self.config.num_attention_heads // self.tp
        self.num_kv_heads = self.config.num_key_value_heads // self.tp
        self.scale = self.config.head_dim**-0.5
        self.window = self.config.sliding_window if self.layer % 2 == 0 else None
        self._load_qkv()
        self._load_output()
        self._load_sinks()

    def new_cache(self, length: int) -> KVCache:
        """Return an empty cache for this layer."""
        dtype = ttnn.bfloat16 if self.dtype == ttnn.bfloat16 else ttnn.bfloat8_b
        return KVCache(self.mesh_device, self.config, self.mesh_config, length=length, dtype=dtype)

    def __call__(self, x: Any) -> Any:
        """Return causal attention over one prompt [.., S, H], same shape."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(self, x: Any, *, cache: KVCache | None = None, rotation: tuple[Any, Any] | None = None) -> Any:
        """Return [1, 1, S, H] for a prompt [1, 1, S, H], and fill the cache if there is one."""
        rotation = rotation or self.rope.rows(x.shape[2])
        q, k, v = ttnn.experimental.nlp_create_qkv_heads(
            self._project(x),
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            transpose_k_heads=False,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )
        q, k = self.rope.prefill(q, rotation), self.rope.prefill(k, rotation)
        if cache:
            k, v = cache.fill(k, v)
        joined = ttnn.experimental.nlp_concat_heads(self.attend(q, k, v), memory_config=ttnn.DRAM_MEMORY_CONFIG)
        return self._output(joined)

    def decode(
        self,
        x: Any,
        position: int,
        cache: KVCache,
        *,
        rotation: tuple[Any, Any] | None = None,
    ) -> Any:
        """Return [1, 1, 1, H] for the token at ``position``, which the cache then holds."""
        rotation = rotation or self.rope.row(position)
        at = cache.position(position)
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
            q,
            k,
            v,
            is_causal=True,
            scale=self.scale,
            sliding_window_size=self.window,
            attention_sink=self.sinks,
            compute_kernel_config=precise(),
        )

    def attend_cached(self, q: Any, cache: KVCache, position: Any) -> Any:
        """Return [1, 1, Nq, D]: one token's queries on the cache up to ``position``, an int32 tensor [1]."""
        # With several kv heads on a device the kernel refuses a sharded output.
        return ttnn.transformer.scaled_dot_product_attention_decode(
            q,
            cache.keys,
            cache.values,
            cur_pos_tensor=position,
            scale=self.scale,
            sliding_window_size=self.window,
            attention_sink=self.decode_sinks,
            program_config=self._decode_program(),
            compute_kernel_config=precise(),
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )

    def _decode_program(self) -> Any:
        grid = self.mesh_device.compute_with_storage_grid_size()
        # The kernel joins at most 64 cores a head, and the grids of some chips are larger.
        return ttnn.SDPAProgramConfig(
            compute_with_storage_grid_size=ttnn.CoreCoord(min(grid.x, 8), min(grid.y, 8)),
            q_chunk_size=TILE,
            k_chunk_size=TILE,
            exp_approx_mode=False,
        )

    def _concat_decode(self, heads: Any) -> Any:
        """Join [1, 1, Nq, D] to [1, 1, 1, Nq D]; the kernel returns a whole tile of rows."""
        one_core = head_sharded(self.config.head_dim, self.num_heads)
        sharded = ttnn.to_memory_config(heads, one_core)
        joined = ttnn.experimental.nlp_concat_heads_decode(sharded, num_heads=self.num_heads)
        joined = ttnn.to_memory_config(joined, ttnn.DRAM_MEMORY_CONFIG)
        return ttnn.slice(joined, [0, 0, 0, 0], [1, 1, 1, joined.shape[-1]])

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
        parts = [self._rows(name) for name in ("q_proj", "k_proj", "v_proj")]
        weight = self._interleave([weight.T for weight, _ in parts])
        self.qkv = self.split(weight[None, None], -1, self.dtype)
        self.qkv_bias = None
        if self.config.attention_bias:
            bias = self._interleave([bias for _, bias in parts])
            self.qkv_bias = self.split(bias.reshape(1, 1, 1, -1), -1)

    def _rows(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight [N D, H] and bias [N D], q and k in adjacent-pair order."""
        weight = self.weight(f"self_attn.{name}.weight")
        bias = torch.zeros(len(weight))
        if self.config.attention_bias:
            bias = self.weight(f"self_attn.{name}.bias")
        if name == "v_proj":
            return weight, bias
        order = pair_order(len(weight) // self.config.head_dim, self.config.head_dim)
        return weight[order], bias[order]

    def _interleave(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """Join along the last dim so that column c holds chunk c of each part."""
        chunks = [part.chunk(self.tp, dim=-1) for part in parts]
        return torch.cat([chunk[c] for c in range(self.tp) for chunk in chunks], dim=-1)

    def _load_output(self) -> None:
        """Load o_proj as [Nq D, H], rows split over columns, H padded to whole tiles a device."""
        hidden = self.config.hidden_size
        width = hidden if self.tp == 1 else tile_up(-(-hidden // self.tp)) * self.tp
        weight = pad_last(self.weight("self_attn.o_proj.weight").T, width)
        self.out = self.split(weight[None, None], -2, self.dtype)
        self.out_bias = None
        if self.config.attention_bias:
            bias = pad_last(self.weight("self_attn.o_proj.bias"), width)
            self.out_bias = self.bias_once(bias.reshape(1, 1, 1, -1))

    def _load_sinks(self) -> None:
        """Load the sinks divided by the scale, which the kernels multiply them by."""
        sinks = self.weight("self_attn.sinks") / self.scale
        self.sinks = self.split(sinks.reshape(1, -1, 1, 1), 1)
        self.decode_sinks = self.split(pad_last(sinks.reshape(-1, 1), TILE), 0)

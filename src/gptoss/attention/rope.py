"""Rotate queries and keys by their positions, with YaRN's stretched frequencies.

Letters: S sequence, L longest sequence, N heads of a device, D head_dim. The rotation works on
adjacent pairs (0,1), (2,3)...; published weights pair element i with i + D/2, so the rows of their
q and k projections are reordered when they are loaded (`pair_order`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import ttnn

from gptoss.component import place, tile_up
from gptoss.config import GptOssConfig
from gptoss.mesh_config import TILE

__all__ = ["Rope", "head_sharded", "inverse_frequencies", "pair_order", "tables"]


def inverse_frequencies(config: GptOssConfig) -> torch.Tensor:
    """Return YaRN's D/2 angular frequencies per position (arXiv 2309.00071, section 3.2)."""
    dim, base = config.head_dim, config.rope_theta
    pairs = torch.arange(0, dim // 2, dtype=torch.float64)
    plain = base ** (-2 * pairs / dim)
    low, high = _correction_range(config)
    ramp = ((pairs - low) / (high - low)).clamp(0, 1)
    return plain * (1 - ramp) + plain / config.rope_scaling_factor * ramp


def _correction_range(config: GptOssConfig) -> tuple[float, float]:
    def pair_of(rotations: float) -> float:
        wavelength = config.initial_context_length / (rotations * 2 * math.pi)
        return config.head_dim * math.log(wavelength) / (2 * math.log(config.rope_theta))

    low, high = pair_of(config.rope_beta_fast), pair_of(config.rope_beta_slow)
    if config.rope_truncate:
        low, high = math.floor(low), math.ceil(high)
    low = max(low, 0.0)
    # Rounding may join the ends; a ramp needs a length.
    return low, max(min(high, config.head_dim - 1.0), low + 1e-3)


def tables(config: GptOssConfig, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin as [L, D] with each value twice, scaled by YaRN's attention factor."""
    positions = torch.arange(length, dtype=torch.float64)
    angles = torch.outer(positions, inverse_frequencies(config)).repeat_interleave(2, dim=-1)
    factor = 0.1 * math.log(config.rope_scaling_factor) + 1.0
    return (angles.cos() * factor).float(), (angles.sin() * factor).float()


def pair_order(num_heads: int, head_dim: int) -> torch.Tensor:
    """Return the row order that turns half-split heads into adjacent pairs."""
    half = head_dim // 2
    within = torch.stack([torch.arange(half), torch.arange(half) + half], dim=-1).flatten()
    return (torch.arange(num_heads)[:, None] * head_dim + within).flatten()


def head_sharded(head_dim: int, num_heads: int = 1) -> Any:
    """Return the memory config of one user's heads on one core, as decode kernels want them."""
    return ttnn.create_sharded_memory_config(
        shape=(tile_up(num_heads), head_dim),
        core_grid=ttnn.CoreGrid(y=1, x=1),
        strategy=ttnn.ShardStrategy.HEIGHT,
        orientation=ttnn.ShardOrientation.ROW_MAJOR,
        use_height_and_width_as_shard_shape=True,
    )


def _pair_swap() -> torch.Tensor:
    """Return the matrix T with (x T)[2k] = -x[2k+1] and (x T)[2k+1] = x[2k]."""
    swap = torch.zeros(1, 1, TILE, TILE)
    even = torch.arange(0, TILE, 2)
    swap[..., even + 1, even] = -1.0
    swap[..., even, even + 1] = 1.0
    return swap


class Rope:
    """Rotation tables of one model on one mesh, for positions below ``length``."""

    def __init__(self, mesh_device: Any, config: GptOssConfig, *, length: int = 4096) -> None:
        self.mesh_device = mesh_device
        self.head_dim = config.head_dim
        self.length = min(length, config.max_position_embeddings)
        self._cos, self._sin = tables(config, self.length)
        self._swap = place(mesh_device, _pair_swap())
        self._swap_decode = place(mesh_device, _pair_swap(), memory_config=head_sharded(TILE))

    def prefill(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        """Rotate [1, N, S, D] with the rows of `rows`."""
        return ttnn.experimental.rotary_embedding_llama(x, *rotation, self._swap, is_decode_mode=False)

    def decode(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        """Rotate one token's heads [1, 1, N, D], height-sharded, with the row of `row`."""
        return ttnn.experimental.rotary_embedding_llama(x, *rotation, self._swap_decode, is_decode_mode=True)

    def rows(self, length: int) -> tuple[Any, Any]:
        """Return cos and sin of positions 0 to ``length`` as [1, 1, S, D]."""
        self._check(length - 1)
        return self._placed(self._cos[:length]), self._placed(self._sin[:length])

    def row(self, position: int) -> tuple[Any, Any]:
        """Return cos and sin of one position as [1, 1, 1, D], height-sharded."""
        self._check(position)
        at = slice(position, position + 1)
        config = head_sharded(self.head_dim)
        return self._placed(self._cos[at], config), self._placed(self._sin[at], config)

    def _placed(self, table: torch.Tensor, memory_config: Any = None) -> Any:
        return place(self.mesh_device, table[None, None], memory_config=memory_config)

    def _check(self, position: int) -> None:
        if not 0 <= position < self.length:
            raise ValueError(f"position {position}: rope tables end at {self.length}; raise length")

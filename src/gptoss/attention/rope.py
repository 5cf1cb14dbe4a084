"""Rotate queries and keys by their positions, with YaRN's stretched frequencies.

Letters: S sequence, B users of a device, N heads of a device, D head_dim. The rotation works on
adjacent pairs (0,1), (2,3)...; published weights pair element i with i + D/2, so the rows of their
q and k projections are reordered when they are loaded (`pair_order`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import ttnn

from gptoss.component import place, tile_up
from gptoss.config import GptOssConfig
from gptoss.mesh_config import TILE

__all__ = ["PerUser", "Rope", "head_sharded", "inverse_frequencies", "listed", "pair_order", "tables"]

# A number of one user, or one of each user of the mesh.
PerUser = int | Sequence[int] | torch.Tensor


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


def tables(config: GptOssConfig, positions: Iterable[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin of positions as [S, D] with each value twice, scaled by YaRN's attention factor."""
    at = torch.tensor(list(positions), dtype=torch.float64)
    angles = torch.outer(at, inverse_frequencies(config)).repeat_interleave(2, dim=-1)
    factor = 0.1 * math.log(config.rope_scaling_factor) + 1.0
    return (angles.cos() * factor).float(), (angles.sin() * factor).float()


def pair_order(num_heads: int, head_dim: int) -> torch.Tensor:
    """Return the row order that turns half-split heads into adjacent pairs."""
    half = head_dim // 2
    within = torch.stack([torch.arange(half), torch.arange(half) + half], dim=-1).flatten()
    return (torch.arange(num_heads)[:, None] * head_dim + within).flatten()


def listed(numbers: PerUser) -> list[int]:
    """Return the number of one user, or those of all, as a list."""
    if isinstance(numbers, torch.Tensor):
        numbers = numbers.flatten().tolist()
    return [numbers] if isinstance(numbers, int) else [int(number) for number in numbers]


def head_sharded(mesh_device: Any, width: int, num_heads: int = 1, users: int = 1) -> Any:
    """Return the memory config of heads [1, B, N, D] with user b's on core b, as decode kernels want them."""
    grid = mesh_device.compute_with_storage_grid_size()
    return ttnn.create_sharded_memory_config(
        shape=(tile_up(num_heads), width),
        core_grid=ttnn.num_cores_to_corerangeset(users, grid, row_wise=True),
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
    """Rotations of one model on one mesh, for as many positions as the model has."""

    def __init__(self, mesh_device: Any, config: GptOssConfig, *, user_rows: int = 1) -> None:
        self.mesh_device = mesh_device
        self.config = config
        self.user_rows = user_rows
        self._swap = place(mesh_device, _pair_swap())
        self._swaps: dict[int, Any] = {}

    @property
    def length(self) -> int:
        """Number of positions."""
        return self.config.max_position_embeddings

    def prefill(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        """Rotate [1, N, S, D] with the rows of `rows`."""
        return ttnn.experimental.rotary_embedding_llama(x, *rotation, self._swap, is_decode_mode=False)

    def decode(self, x: Any, rotation: tuple[Any, Any]) -> Any:
        """Rotate one token of each user, [1, B, N, D], height-sharded, with the rows of `row`."""
        swap = self._swap_of(x.shape[1])
        return ttnn.experimental.rotary_embedding_llama(x, *rotation, swap, is_decode_mode=True)

    def rows(self, length: int, start: int = 0) -> tuple[Any, Any]:
        """Return cos and sin of ``length`` positions from ``start`` on as [1, 1, S, D]."""
        self._check(start + length - 1)
        cos, sin = (table[None, None] for table in tables(self.config, range(start, start + length)))
        return place(self.mesh_device, cos), place(self.mesh_device, sin)

    def row(self, positions: PerUser) -> tuple[Any, Any]:
        """Return cos and sin of each user's position as [1, B, 1, D], height-sharded; -1 counts as 0."""
        wanted = listed(positions)
        self._check(*wanted)
        cos, sin = tables(self.config, (max(position, 0) for position in wanted))
        config = head_sharded(self.mesh_device, self.config.head_dim, users=len(wanted) // self.user_rows)
        dims = (1, None) if self.user_rows > 1 else (None, None)
        return tuple(
            place(self.mesh_device, table[None, :, None], dims=dims, memory_config=config) for table in (cos, sin)
        )

    def _swap_of(self, users: int) -> Any:
        """Return the swap once for each user, on the user's core."""
        if users not in self._swaps:
            config = head_sharded(self.mesh_device, TILE, users=users)
            self._swaps[users] = place(self.mesh_device, _pair_swap().repeat(1, 1, users, 1), memory_config=config)
        return self._swaps[users]

    def _check(self, *positions: int) -> None:
        beyond = max(positions)
        if beyond >= self.length:
            raise ValueError(
                f"position {beyond}: the model ends at max_position_embeddings={self.length}; "
                "pass fewer tokens, or set a greater one where the model has it"
            )

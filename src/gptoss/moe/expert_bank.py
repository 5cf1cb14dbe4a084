"""Load experts onto a mesh: all of them once, or a few at a time when they would not fit.

Letters: E experts loaded together, H hidden, I intermediate. I is split over columns; rows hold copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import ttnn

from gptoss.component import Component
from gptoss.weights import expert_tensor

__all__ = ["RESIDENT_LIMIT_BYTES", "ExpertBank", "ExpertSet"]

# Above this, host and device copies of one layer's experts no longer share a small machine.
RESIDENT_LIMIT_BYTES = 1 << 29


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSet:
    """Device tensors of the experts ``ids``: gate, up [1, E, H, I], down [1, E, I, H], biases."""

    ids: tuple[int, ...]
    gate: Any
    up: Any
    down: Any
    gate_bias: Any
    up_bias: Any
    down_bias: Any

    def release(self) -> None:
        """Free the device memory of this set."""
        for name in ("gate", "up", "down", "gate_bias", "up_bias", "down_bias"):
            ttnn.deallocate(getattr(self, name))


class ExpertBank(Component):
    """The experts of one layer, handed out in sets that fit."""

    def __init__(self, *args: Any, limit_bytes: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self._bytes_each = 3 * config.hidden_size * config.intermediate_size * 4
        self.set_size = max(limit_bytes // self._bytes_each, config.num_experts_per_tok)
        everyone = tuple(range(config.num_local_experts))
        self.resident = self.load(everyone) if len(everyone) <= self.set_size else None

    def sets(self, chosen: Callable[[], Sequence[int]]) -> Iterator[ExpertSet]:
        """Yield sets that hold at least the chosen experts, each released after its turn."""
        if self.resident:
            yield self.resident
            return
        ids = tuple(chosen())
        for start in range(0, len(ids), self.set_size):
            loaded = self.load(ids[start : start + self.set_size])
            yield loaded
            loaded.release()

    def load(self, ids: tuple[int, ...]) -> ExpertSet:
        """Return the experts ``ids`` on the mesh, in the cell's dtype."""
        gate, up, down = self._one_by_one(ids) if self._is_large(ids) else self._matrices(ids)
        gate_up_bias = self._stack("gate_up_proj_bias", ids)[:, :, None]
        down_bias = self._stack("down_proj_bias", ids)[:, :, None]
        return ExpertSet(
            ids=ids,
            gate=gate,
            up=up,
            down=down,
            gate_bias=self.split(gate_up_bias[..., 0::2], -1),
            up_bias=self.split(gate_up_bias[..., 1::2], -1),
            down_bias=self.bias_once(down_bias),
        )

    def _is_large(self, ids: tuple[int, ...]) -> bool:
        # The op that fills in place takes no bfloat4_b.
        return len(ids) * self._bytes_each > RESIDENT_LIMIT_BYTES and self.dtype != ttnn.bfloat4_b

    def _matrices(self, ids: tuple[int, ...]) -> tuple[Any, Any, Any]:
        """Return gate, up and down of the experts ``ids`` on the mesh, by way of the host's stack of them."""
        # Published weights interleave the two: gate in even columns, up in odd ones.
        gate_up = self._stack("gate_up_proj", ids)
        gate = self.split(gate_up[..., 0::2], -1, self.dtype)
        up = self.split(gate_up[..., 1::2], -1, self.dtype)
        del gate_up
        return gate, up, self.split(self._stack("down_proj", ids), -2, self.dtype)

    def _one_by_one(self, ids: tuple[int, ...]) -> list[Any]:
        """Return the same, each expert written into its place on the mesh: the host holds one at a time."""
        wholes: list[Any] = []
        for place, expert in enumerate(ids):
            parts = self._matrices((expert,))
            wholes = wholes or [self._empty(len(ids), part) for part in parts]
            for whole, part in zip(wholes, parts, strict=True):
                ttnn.fill_cache(whole, part, place)
            del parts, part
        return [ttnn.reshape(whole, (1, len(ids), whole.shape[2], whole.shape[3])) for whole in wholes]

    def _empty(self, count: int, part: Any) -> Any:
        """Return room for ``count`` experts [E, 1, ...] such as ``part`` [1, 1, ...]."""
        shape = ttnn.Shape([count, 1, part.shape[2], part.shape[3]])
        return ttnn.allocate_tensor_on_device(
            shape, self.dtype, ttnn.TILE_LAYOUT, self.mesh_device, ttnn.DRAM_MEMORY_CONFIG
        )

    def _stack(self, name: str, ids: tuple[int, ...]) -> torch.Tensor:
        """Return [1, E, ...] of one tensor, read expert by expert."""
        key = f"model.layers.{self.layer}.mlp.experts.{name}"
        if len(ids) == 1:
            return expert_tensor(self.state_dict, key, ids[0])[None, None]
        return torch.stack([expert_tensor(self.state_dict, key, e) for e in ids])[None]

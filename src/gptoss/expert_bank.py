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
        each = 3 * config.hidden_size * config.intermediate_size * 4
        self.set_size = max(limit_bytes // each, config.num_experts_per_tok)
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
        gate_up, down = self._stack("gate_up_proj", ids), self._stack("down_proj", ids)
        gate_up_bias = self._stack("gate_up_proj_bias", ids)[:, :, None]
        down_bias = self._stack("down_proj_bias", ids)[:, :, None]
        # Published weights interleave the two: gate in even columns, up in odd ones.
        return ExpertSet(
            ids=ids,
            gate=self.split(gate_up[..., 0::2].contiguous(), -1, self.dtype),
            up=self.split(gate_up[..., 1::2].contiguous(), -1, self.dtype),
            down=self.split(down, -2, self.dtype),
            gate_bias=self.split(gate_up_bias[..., 0::2], -1),
            up_bias=self.split(gate_up_bias[..., 1::2], -1),
            down_bias=self.bias_once(down_bias),
        )

    def _stack(self, name: str, ids: tuple[int, ...]) -> torch.Tensor:
        """Return [1, E, ...] of one tensor, read expert by expert."""
        key = f"model.layers.{self.layer}.mlp.experts.{name}"
        return torch.stack([expert_tensor(self.state_dict, key, e) for e in ids])[None]

"""Load experts onto a mesh: all of them once, or a few at a time when they would not fit.

`ExpertBank` splits I of every expert over columns, and rows hold copies; `WholeExpertBank` gives whole experts to
devices. Letters: E experts loaded together, H hidden, I intermediate, D devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import ttnn

from gptoss.component import Component, place
from gptoss.weights import expert_tensor

__all__ = ["RESIDENT_LIMIT_BYTES", "ExpertBank", "ExpertSet", "WholeExpertBank"]

# Above this, host and device copies of one layer's experts no longer share a small machine.
RESIDENT_LIMIT_BYTES = 1 << 29

# An expert by its number, or None for one that nobody asks for: zeros take its place.
Ids = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSet:
    """Device tensors of the experts ``ids``: gate, up [1, E, H, I], down [1, E, I, H], biases.

    ``first`` counts the experts of a device before those of this set.
    """

    ids: Ids
    gate: Any
    up: Any
    down: Any
    gate_bias: Any
    up_bias: Any
    down_bias: Any
    first: int = 0

    def release(self) -> None:
        """Free the device memory of this set."""
        for name in ("gate", "up", "down", "gate_bias", "up_bias", "down_bias"):
            ttnn.deallocate(getattr(self, name))


class ExpertBank(Component):
    """The experts of one layer, each split over columns, handed out in sets that fit."""

    def __init__(self, *args: Any, limit_bytes: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self._bytes_each = 3 * config.hidden_size * config.intermediate_size * 4
        self.set_size = self._fitting(limit_bytes // self._bytes_each)
        everyone = tuple(range(config.num_local_experts))
        self.resident = self.load(everyone) if len(everyone) <= self.set_size else None

    def sets(self, chosen: Callable[[], Sequence[int]]) -> Iterator[ExpertSet]:
        """Yield sets that hold at least the chosen experts, each released after its turn."""
        if self.resident:
            yield self.resident
            return
        for ids, first in self._planned(chosen()):
            loaded = self.load(ids, first)
            yield loaded
            loaded.release()

    def load(self, ids: Ids, first: int = 0) -> ExpertSet:
        """Return the experts ``ids`` on the mesh, in the cell's dtype."""
        gate, up, down = self._one_by_one(ids) if self._is_by_turns(ids) else self._matrices(ids)
        gate_up_bias = self._stack("gate_up_proj_bias", ids)[:, :, None]
        return ExpertSet(
            ids=ids,
            gate=gate,
            up=up,
            down=down,
            gate_bias=self._spread(gate_up_bias[..., 0::2], -1),
            up_bias=self._spread(gate_up_bias[..., 1::2], -1),
            down_bias=self._spread_down_bias(self._stack("down_proj_bias", ids)),
            first=first,
        )

    def _fitting(self, count: int) -> int:
        """Return how many experts make a set where ``count`` fit: those of a token must be in one."""
        return max(count, self.config.num_experts_per_tok)

    def _planned(self, chosen: Sequence[int]) -> Iterator[tuple[Ids, int]]:
        """Yield the experts of each set, and how many of a device's experts come before it."""
        for start in range(0, len(chosen), self.set_size):
            yield tuple(chosen[start : start + self.set_size]), 0

    def _turns(self, ids: Ids) -> list[Ids]:
        """Return the experts that are loaded together where the host cannot hold all."""
        return [(expert,) for expert in ids]

    def _dims(self, dim: int) -> tuple[int | None, int | None]:
        """Return how the mesh splits [1, E, ..] once it is arranged; ``dim`` is the one that counts I."""
        return self.over_columns(dim)

    def _arranged(self, host: torch.Tensor) -> torch.Tensor:
        """Return [1, E, ..] in the shape that is split."""
        return host

    def _spread(self, host: torch.Tensor, dim: int) -> Any:
        """Return [1, E, ..] on the mesh."""
        return place(self.mesh_device, self._arranged(host), dims=self._dims(dim))

    def _matrix(self, name: str, make: Callable[[], torch.Tensor], dim: int, ids: Ids) -> Any:
        """Return what ``make`` returns [1, E, ..] on the mesh, in the cell's dtype."""
        dims = self._dims(dim)
        if not self._is_found_again(ids):
            return place(self.mesh_device, self._arranged(make()), dims=dims, dtype=self.dtype)
        return self.cached(
            f"mlp.experts.{name}", lambda: self._arranged(make()), dims=dims, dtype=self.dtype, experts=ids
        )

    def _is_found_again(self, ids: Ids) -> bool:
        """Say whether others will ask for just these: all experts, or one turn of them.

        Hardly two prompts choose the same part of the experts; on disk, such sets would grow without end.
        """
        return None not in ids and (len(ids) == self.config.num_local_experts or len(self._turns(ids)) == 1)

    def _spread_down_bias(self, host: torch.Tensor) -> Any:
        """Return [1, E, H] on the mesh as [1, 1, E, H], for a sum over experts."""
        return self.bias_once(host[None])

    def _is_by_turns(self, ids: Ids) -> bool:
        """Say whether experts come one after another: all would not fit, or each is to be found again in other sets."""
        if self.dtype == ttnn.bfloat4_b:
            return False  # the op that fills in place refuses it
        is_part = len(ids) < self.config.num_local_experts
        return len(ids) * self._bytes_each > RESIDENT_LIMIT_BYTES or (is_part and self.is_cached)

    def _matrices(self, ids: Ids) -> tuple[Any, Any, Any]:
        """Return gate, up and down of the experts ``ids`` on the mesh, by way of the host's stack of them."""
        # Published weights interleave the two: gate in even columns, up in odd ones.
        gate_up = cache(lambda: self._stack("gate_up_proj", ids))
        gate = self._matrix("gate", lambda: gate_up()[..., 0::2], -1, ids)
        up = self._matrix("up", lambda: gate_up()[..., 1::2], -1, ids)
        gate_up.cache_clear()
        return gate, up, self._matrix("down", lambda: self._stack("down_proj", ids), -2, ids)

    def _one_by_one(self, ids: Ids) -> list[Any]:
        """Return the same, each turn written into its place on the mesh: the host holds one at a time."""
        wholes: list[Any] = []
        turns = self._turns(ids)
        for at, turn in enumerate(turns):
            parts = self._matrices(turn)
            if len(turns) == 1:
                return list(parts)
            wholes = wholes or [self._empty(len(turns), part) for part in parts]
            for whole, part in zip(wholes, parts, strict=True):
                ttnn.fill_cache(whole, part, at)
            del parts, part
        return [ttnn.reshape(whole, (1, len(turns), whole.shape[2], whole.shape[3])) for whole in wholes]

    def _empty(self, count: int, part: Any) -> Any:
        """Return room for ``count`` experts [E, 1, ...] such as ``part`` [1, 1, ...]."""
        shape = ttnn.Shape([count, 1, part.shape[2], part.shape[3]])
        return ttnn.allocate_tensor_on_device(
            shape, self.dtype, ttnn.TILE_LAYOUT, self.mesh_device, ttnn.DRAM_MEMORY_CONFIG
        )

    def _stack(self, name: str, ids: Ids) -> torch.Tensor:
        """Return [1, E, ...] of one tensor, read expert by expert."""
        key = f"model.layers.{self.layer}.mlp.experts.{name}"
        wanted = [expert for expert in ids if expert is not None]
        first = expert_tensor(self.state_dict, key, wanted[0])
        if len(ids) == 1:
            return first[None, None]
        stack = (first.new_zeros if None in ids else first.new_empty)(1, len(ids), *first.shape)
        for at, expert in enumerate(ids):
            if expert is not None:
                stack[0, at] = first if expert == wanted[0] else expert_tensor(self.state_dict, key, expert)
        return stack


class WholeExpertBank(ExpertBank):
    """The experts of one layer, expert e whole on device e // (E / D), handed out in sets that fit.

    A set holds as many experts of every device, those at the same places among a device's own.
    """

    @property
    def each(self) -> int:
        """Experts of one device."""
        return self.config.num_local_experts // self.mesh_config.devices

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the first of a device's experts in each set, and how many the set has: the last may be short."""
        step = self.set_size // self.mesh_config.devices
        for first in range(0, self.each, step):
            yield first, min(step, self.each - first)

    def _fitting(self, count: int) -> int:
        return max(count // self.mesh_config.devices, 1) * self.mesh_config.devices

    def _planned(self, chosen: Sequence[int]) -> Iterator[tuple[Ids, int]]:
        asked = set(chosen)
        for first, count in self.places():
            places = range(first, first + count)
            experts = [device * self.each + at for device in range(self.mesh_config.devices) for at in places]
            ids = tuple(expert if expert in asked else None for expert in experts)
            if any(expert is not None for expert in ids):
                yield ids, first

    def _turns(self, ids: Ids) -> list[Ids]:
        count = len(ids) // self.mesh_config.devices
        return [ids[at::count] for at in range(count)]

    def _dims(self, dim: int) -> tuple[int | None, int | None]:
        del dim
        return (0, 1)

    def _arranged(self, host: torch.Tensor) -> torch.Tensor:
        """Return [1, E, ..] as rows of the mesh and their experts, [R, E / R, ..]: all devices in order, row by row."""
        return host.reshape(self.mesh_config.shape[0], -1, *host.shape[2:])

    def _spread_down_bias(self, host: torch.Tensor) -> Any:
        """Return [1, E, H] on the mesh as [1, E, 1, H], for a sum at each expert."""
        return self._spread(host[:, :, None], -1)

"""Send tokens to the devices that hold their experts, apply these, and bring the answers back: for many users.

Every device holds whole experts, expert e on device e // (E / D) of the mesh in its order row by row. Each row has
users of its own, which its columns hold alike. Tokens travel along the rows' axis, so each column sees the tokens of
all rows; each device applies its experts to all of them, and answers travel back. A column answers for its own experts
alone: the others' places stay zero, and columns are added up at last.

A mesh of one row has nowhere to send tokens, and ttnn refuses to (no neighbours along the axis): there every device
has every token already, and weighs its own experts' answers by its own share of the routing weights.

Letters: T tokens of one row, R rows, H hidden, E experts, K experts per token, D devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import ttnn

from gptoss.component import place
from gptoss.mesh_config import COL_AXIS, ROW_AXIS
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES, ExpertSet, WholeExpertBank
from gptoss.moe.feed_forward import FeedForward
from gptoss.moe.router import Choice
from gptoss.moe.tokens import join

__all__ = ["ThroughputExperts"]


class ThroughputExperts(FeedForward):
    """The experts of one layer, whole on the devices of a mesh; raises MeshConfigError where D does not divide E."""

    def __init__(self, *args: Any, limit_bytes: int = RESIDENT_LIMIT_BYTES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bank = WholeExpertBank(*args, limit_bytes=limit_bytes, **kwargs)
        rows, self.cols = self.mesh_config.shape
        self.mapping = self._mapping() if rows > 1 else None

    def __call__(self, x: Any, choice: Choice) -> Any:
        """Return [1, 1, T, H] for the tokens [1, 1, T, H] of each row and the experts that they chose."""
        y = self._at_home(x, choice) if self.mapping is None else self._abroad(x, choice)
        return self.ccl.all_reduce(y, COL_AXIS) if self.cols > 1 else y

    def _abroad(self, x: Any, choice: Choice) -> Any:
        """Return [1, 1, T, H], of each token what the experts of this column make of it, weighed."""
        indices = ttnn.to_layout(choice.indices, ttnn.ROW_MAJOR_LAYOUT)
        sent = ttnn.to_layout(x, ttnn.ROW_MAJOR_LAYOUT)
        tokens, chosen = self.ccl.dispatch(sent, indices, self.mapping, ROW_AXIS)
        answers = self._answers(ttnn.to_layout(tokens, ttnn.TILE_LAYOUT), choice)
        by_expert = ttnn.reshape(answers, (answers.shape[1], 1, answers.shape[2], answers.shape[3]))
        back = self.ccl.combine(ttnn.to_layout(by_expert, ttnn.ROW_MAJOR_LAYOUT), chosen, self.mapping, ROW_AXIS)
        weights = ttnn.permute(choice.weights, (3, 0, 2, 1))
        return ttnn.sum(ttnn.multiply(ttnn.to_layout(back, ttnn.TILE_LAYOUT), weights), dim=0, keepdim=True)

    def _at_home(self, x: Any, choice: Choice) -> Any:
        """Return the same on a mesh of one row, where no token has to travel."""
        routing = choice.dense(self.config.num_local_experts)
        own = self.ccl.partition(routing, 3, COL_AXIS) if self.cols > 1 else routing
        answers = self._answers(x, choice)
        return ttnn.sum(ttnn.multiply(answers, ttnn.permute(own, (0, 3, 2, 1))), dim=1, keepdim=True)

    def _answers(self, x: Any, choice: Choice) -> Any:
        """Return [1, E / D, T, H], what each expert of a device makes of tokens [1, 1, T, H]."""
        made: dict[int, Any] = {}
        for experts in self.bank.sets(lambda: self._chosen(choice)):
            made[experts.first] = self._of_set(x, experts)
        answers = [
            made[first] if first in made else self._silence(count, next(iter(made.values())))
            for first, count in self.bank.places()
        ]
        return join(answers, dim=1)

    def _silence(self, count: int, like: Any) -> Any:
        """Return zeros [1, count, T, H]: of experts that no token chose nothing is read."""
        shape = (1, count, like.shape[2], like.shape[3])
        return ttnn.zeros(
            shape,
            dtype=like.dtype,
            layout=ttnn.TILE_LAYOUT,
            device=self.mesh_device,
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )

    def _of_set(self, x: Any, experts: ExpertSet) -> Any:
        return ttnn.add(self._of_each(x, experts), experts.down_bias)

    def _chosen(self, choice: Choice) -> Sequence[int]:
        """Return the experts that any token of any device asks for."""
        hosts = [ttnn.to_torch(shard) for shard in ttnn.get_device_tensors(choice.indices)]
        return sorted({int(expert) for host in hosts for expert in host.flatten()})

    def _mapping(self) -> Any:
        """Return which device holds which expert, ones and zeros [1, 1, E, D]."""
        devices = self.mesh_config.devices
        owners = torch.eye(devices, dtype=torch.int32).repeat_interleave(self.bank.each, dim=0)
        return place(self.mesh_device, owners[None, None], dtype=ttnn.uint16, layout=ttnn.ROW_MAJOR_LAYOUT)

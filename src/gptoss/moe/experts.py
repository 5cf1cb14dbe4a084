"""Apply each token's chosen experts and add up what they say.

Letters: T tokens, H hidden, I intermediate (of one device), E experts, K experts per token.
Decode computes K experts of one token, shared out over rows; prefill computes every expert for every token
and lets the weight zero silence those not chosen. Either way columns hold partial sums over I.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import ttnn

from gptoss.component import Component, flat, precise, reshape_like, tile_up
from gptoss.mesh_config import COL_AXIS, ROW_AXIS, TILE
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES, ExpertBank, ExpertSet

__all__ = ["Experts"]


class Experts(Component):
    """The experts of one layer behind given routing weights."""

    def __init__(self, *args: Any, limit_bytes: int = RESIDENT_LIMIT_BYTES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bank = ExpertBank(*args, limit_bytes=limit_bytes, **kwargs)

    def __call__(self, x: Any, routing: Any) -> Any:
        """Return [.., T, H] for tokens [.., T, H] and weights [.., T, E]."""
        return reshape_like(self.prefill(flat(x), flat(routing)), x)

    def prefill(self, x: Any, routing: Any) -> Any:
        """Return [1, 1, T, H] for tokens [1, 1, T, H] and weights [1, 1, T, E]."""
        total = None
        for experts in self.bank.sets(lambda: self._chosen(routing)):
            weights = self._of_set(routing, experts)
            groups = [
                self._dense(rows, share, experts) for rows, share in zip(_groups(x), _groups(weights), strict=True)
            ]
            part = ttnn.concat(groups, dim=2) if len(groups) > 1 else groups[0]
            total = part if total is None else ttnn.add(total, part)
        return self._sum_over_columns(total)

    def decode(self, x: Any, routing: Any) -> Any:
        """Return [1, 1, 1, H] for one token [1, 1, 1, H] and its weights [1, 1, 1, E]."""
        # K experts always fit in one set, and the kernel's count of weights holds for one set.
        (y,) = [
            self._sparse(x, self._own_share(self._of_set(routing, experts)), experts)
            for experts in self.bank.sets(lambda: self._chosen(routing))
        ]
        if self.mesh_config.decode.ep > 1:
            y = self.ccl.all_reduce(y, ROW_AXIS)
        return self._sum_over_columns(y)

    def _dense(self, x: Any, routing: Any, experts: ExpertSet) -> Any:
        """Return [1, 1, T, H] of at most 32 tokens, from every expert of the set."""
        gate = ttnn.matmul(x, experts.gate, compute_kernel_config=precise())
        up = ttnn.matmul(x, experts.up, compute_kernel_config=precise())
        hidden = self._swiglu(ttnn.add(gate, experts.gate_bias), ttnn.add(up, experts.up_bias))
        # Nested, so that no product outlives its use: these are the largest activations.
        y = ttnn.add(ttnn.matmul(hidden, experts.down, compute_kernel_config=precise()), experts.down_bias)
        return self._weighted_sum(y, routing)

    def _sparse(self, x: Any, routing: Any, experts: ExpertSet) -> Any:
        """Return [1, 1, 1, H] from the experts with a weight; the kernels skip the others."""
        num_experts = len(experts.ids)
        sparsity = ttnn.to_layout(routing, ttnn.ROW_MAJOR_LAYOUT)
        # The kernel hangs unless this is exactly the number of weights that are not zero.
        nnz = self.config.num_experts_per_tok // self.mesh_config.decode.ep
        width = self.config.intermediate_size // self.tp
        wide = {"sparsity": sparsity, "nnz": nnz, "compute_kernel_config": precise()}
        to_width = self._program(self.config.hidden_size, width)
        shape = (1, num_experts, 1, width)
        gate = ttnn.sparse_matmul(x, experts.gate, program_config=to_width, **wide)
        up = ttnn.sparse_matmul(x, experts.up, program_config=to_width, **wide)
        hidden = self._swiglu(
            ttnn.add(ttnn.reshape(gate, shape), experts.gate_bias),
            ttnn.add(ttnn.reshape(up, shape), experts.up_bias),
        )
        y = ttnn.sparse_matmul(
            hidden,
            experts.down,
            is_input_a_sparse=True,
            program_config=self._program(width, self.config.hidden_size),
            **wide,
        )
        y = ttnn.reshape(y, (1, num_experts, 1, self.config.hidden_size))
        return self._weighted_sum(ttnn.add(y, experts.down_bias), routing)

    def _own_share(self, routing: Any) -> Any:
        """Return [1, 1, 1, E] with only the K / EP weights, by expert index, of this row."""
        ways = self.mesh_config.decode.ep
        if ways == 1:
            return routing
        flat_rows = ttnn.to_layout(routing, ttnn.ROW_MAJOR_LAYOUT)
        own = ttnn.moe_routing_remap(
            ttnn.reshape(flat_rows, (1, routing.shape[-1])),
            self.config.num_experts_per_tok,
            ways,
            ROW_AXIS,
        )
        own = ttnn.reshape(own, (1, 1, 1, routing.shape[-1]))
        return ttnn.to_layout(own, ttnn.TILE_LAYOUT)

    def _swiglu(self, gate: Any, up: Any) -> Any:
        """Return (up + 1) * gate * sigmoid(alpha * gate), both clamped at the limit."""
        limit = self.config.swiglu_limit
        gate = ttnn.clamp(gate, max=limit)
        up = ttnn.clamp(up, min=-limit, max=limit)
        gated = ttnn.multiply(gate, ttnn.sigmoid(ttnn.multiply(gate, self.config.swiglu_alpha)))
        return ttnn.multiply(ttnn.add(up, 1.0), gated)

    def _weighted_sum(self, y: Any, routing: Any) -> Any:
        """Return the sum over E of [1, E, T, H] times weights [1, 1, T, E], as [1, 1, T, H]."""
        weights = ttnn.permute(routing, (0, 3, 2, 1))
        return ttnn.sum(ttnn.multiply(y, weights), dim=1, keepdim=True)

    def _sum_over_columns(self, y: Any) -> Any:
        return self.ccl.all_reduce(y, COL_AXIS) if self.tp > 1 else y

    def _program(self, inner: int, outer: int) -> Any:
        """Return a 1-D multicast layout whose working cores fill a rectangle."""
        grid = self.mesh_device.compute_with_storage_grid_size()
        tiles_in, tiles_out = tile_up(inner) // TILE, tile_up(outer) // TILE
        x, y = max(
            ((x, y) for x in range(1, grid.x + 1) for y in range(1, grid.y + 1)),
            key=lambda size: (size[0] * size[1]) * (tiles_out % (size[0] * size[1]) == 0),
        )
        return ttnn.MatmulMultiCoreReuseMultiCast1DProgramConfig(
            compute_with_storage_grid_size=ttnn.CoreCoord(x, y),
            in0_block_w=max(width for width in (1, 2, 3, 5) if tiles_in % width == 0),
            out_subblock_h=1,
            out_subblock_w=1,
            out_block_h=1,
            out_block_w=1,
            per_core_M=1,
            per_core_N=tiles_out // (x * y),
            fuse_batch=False,
            fused_activation=None,
            mcast_in0=True,
        )

    def _chosen(self, routing: Any) -> Sequence[int]:
        """Return the experts that any token of any device asks for."""
        hosts = [ttnn.to_torch(shard) for shard in ttnn.get_device_tensors(routing)]
        rows = torch.cat([host.float().reshape(-1, host.shape[-1]) for host in hosts])
        asked = rows.ne(0).any(dim=0).nonzero().flatten().tolist()
        return asked or range(self.config.num_experts_per_tok)

    def _of_set(self, routing: Any, experts: ExpertSet) -> Any:
        """Return the columns of the weights that belong to the experts of a set."""
        if len(experts.ids) == routing.shape[-1]:
            return routing
        columns = [ttnn.slice(routing, [0, 0, 0, e], [1, 1, routing.shape[2], e + 1]) for e in experts.ids]
        return ttnn.concat(columns, dim=3)


def _groups(x: Any) -> list[Any]:
    """Cut [1, 1, T, N] into groups of at most 32 tokens."""
    rows, width = x.shape[2], x.shape[3]
    if rows <= TILE:
        return [x]
    return [ttnn.slice(x, [0, 0, start, 0], [1, 1, min(start + TILE, rows), width]) for start in range(0, rows, TILE)]

"""Apply each token's chosen experts and add up what they say, for the least delay of few users.

Letters: T tokens, H hidden, I intermediate (of one device), E experts, K experts per token.
Every row knows every token. Decode computes what is chosen and no more: the K experts of one token, shared out over
rows by the position of their weights, or of several tokens all experts that any of them chose, which every row
computes. Prefill computes every expert for every token and lets the weight zero silence those not chosen. Either way
columns hold partial sums over I.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import ttnn

from gptoss.component import flat, precise, reshape_like, tile_up
from gptoss.mesh_config import COL_AXIS, ROW_AXIS, TILE
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES, ExpertBank, ExpertSet
from gptoss.moe.feed_forward import FeedForward
from gptoss.moe.tokens import cut, join

__all__ = ["Experts"]


class Experts(FeedForward):
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
            groups = zip(cut(x, TILE), cut(weights, TILE), strict=True)
            part = join([self._weighted_sum(self._of_each(rows, experts), share, experts) for rows, share in groups])
            total = part if total is None else ttnn.add(total, part)
        return self._sum_over_columns(total)

    def decode(self, x: Any, routing: Any) -> Any:
        """Return [1, 1, T, H] for the tokens [1, 1, T, H] of T users, at most 32, and their weights [1, 1, T, E].

        Every weight of a chosen expert must be other than zero.
        """
        ways = self.mesh_config.decode.ep if x.shape[2] == 1 else 1
        total = None
        for experts in self.bank.sets(lambda: self._chosen(routing)):
            weights = self._of_set(routing, experts)
            part = self._sparse(x, self._own_share(weights) if ways > 1 else weights, experts)
            total = part if total is None else ttnn.add(total, part)
        if ways > 1:
            total = self.ccl.all_reduce(total, ROW_AXIS)
        return self._sum_over_columns(total)

    def _sparse(self, x: Any, routing: Any, experts: ExpertSet) -> Any:
        """Return [1, 1, T, H] from the experts that any token has a weight for; the kernels skip the others."""
        users, num_experts, hidden_size = x.shape[2], len(experts.ids), self.config.hidden_size
        width = self.config.intermediate_size // self.tp
        sparse = {**self._asked(routing), "compute_kernel_config": precise()}
        to_width = self._program(hidden_size, width)
        shape = (1, num_experts, users, width)
        gate = ttnn.sparse_matmul(x, experts.gate, program_config=to_width, **sparse)
        up = ttnn.sparse_matmul(x, experts.up, program_config=to_width, **sparse)
        hidden = self._swiglu(
            ttnn.add(ttnn.reshape(gate, shape), experts.gate_bias),
            ttnn.add(ttnn.reshape(up, shape), experts.up_bias),
        )
        y = ttnn.sparse_matmul(
            hidden, experts.down, is_input_a_sparse=True, program_config=self._program(width, hidden_size), **sparse
        )
        return self._weighted_sum(ttnn.reshape(y, (1, num_experts, users, hidden_size)), routing, experts)

    def _asked(self, routing: Any) -> dict[str, Any]:
        """Return which experts of [1, 1, T, E] a kernel must compute, [1, 1, 1, E], and how many where that is known.

        A kernel hangs unless the count is exact: K of one token, shared over rows; several may choose alike.
        """
        if routing.shape[2] > 1:
            anyone = ttnn.max(routing, dim=2, keepdim=True)
            return {"sparsity": ttnn.to_layout(anyone, ttnn.ROW_MAJOR_LAYOUT)}
        count = self.config.num_experts_per_tok // self.mesh_config.decode.ep
        return {"sparsity": ttnn.to_layout(routing, ttnn.ROW_MAJOR_LAYOUT), "nnz": count}

    def _own_share(self, routing: Any) -> Any:
        """Return [1, 1, 1, E] with only the K / EP weights, by expert index, of this row."""
        flat_rows = ttnn.to_layout(routing, ttnn.ROW_MAJOR_LAYOUT)
        own = ttnn.moe_routing_remap(
            ttnn.reshape(flat_rows, (1, routing.shape[-1])),
            self.config.num_experts_per_tok,
            self.mesh_config.decode.ep,
            ROW_AXIS,
        )
        own = ttnn.reshape(own, (1, 1, 1, routing.shape[-1]))
        return ttnn.to_layout(own, ttnn.TILE_LAYOUT)

    def _weighted_sum(self, y: Any, routing: Any, experts: ExpertSet) -> Any:
        """Return the sum over E of [1, E, T, H] plus down biases, times weights [1, 1, T, E], as [1, 1, T, H]."""
        if y.shape[2] == 1:
            rows = ttnn.reshape(y, (1, 1, y.shape[1], y.shape[3]))
            total = ttnn.matmul(routing, rows, compute_kernel_config=precise())
        else:
            weights = ttnn.permute(routing, (0, 3, 2, 1))
            total = ttnn.sum(ttnn.multiply(y, weights), dim=1, keepdim=True)
        return ttnn.add(total, ttnn.matmul(routing, experts.down_bias, compute_kernel_config=precise()))

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
        ids = [expert for expert in experts.ids if expert is not None]
        columns = [ttnn.slice(routing, [0, 0, 0, e], [1, 1, routing.shape[2], e + 1]) for e in ids]
        return ttnn.concat(columns, dim=3)

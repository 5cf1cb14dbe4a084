"""Route each token to its experts: router, then experts, spread over the mesh in one of two layouts.

Low latency: every row knows every token; in prefill each row takes S / SP of them and all rows join them at the end.
Throughput: each row has tokens of its own, which travel to the devices that hold their experts.
Letters: S sequence, B users of one device, H hidden.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.component import Component, flat, reshape_like
from gptoss.mesh_config import ROW_AXIS
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES
from gptoss.moe.experts import Experts
from gptoss.moe.router import TopKRouter
from gptoss.moe.throughput import ThroughputExperts
from gptoss.moe.tokens import cut, join

__all__ = ["CHUNK_TOKENS", "MLP", "THROUGHPUT_CHUNK_TOKENS"]

# As many tokens of a prompt as pass the experts at once, of all rows or of each: activations grow with them, the more
# so where a device applies whole experts to the tokens of every row.
CHUNK_TOKENS = 4096
THROUGHPUT_CHUNK_TOKENS = 128


class MLP(Component):
    """The mixture of experts of one layer; ``chunk_tokens``, in whole tiles of 32, bounds its activations."""

    def __init__(
        self,
        *args: Any,
        limit_bytes: int = RESIDENT_LIMIT_BYTES,
        chunk_tokens: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.router = TopKRouter(*args, **kwargs)
        throughput = self.mesh_config.throughput
        self.chunk_tokens = chunk_tokens or (THROUGHPUT_CHUNK_TOKENS if throughput else CHUNK_TOKENS)
        self.experts: Any = (ThroughputExperts if throughput else Experts)(*args, limit_bytes=limit_bytes, **kwargs)

    def __call__(self, x: Any) -> Any:
        """Return [.., S, H] for a prompt [.., S, H]."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(self, x: Any) -> Any:
        """Return [1, 1, S, H] for a prompt [1, 1, S, H]."""
        run = self._routed if self.mesh_config.throughput else self._shared
        return join([run(part) for part in cut(x, self.chunk_tokens)])

    def decode(self, x: Any) -> Any:
        """Return [1, 1, B, H] for one token of each user, [1, 1, B, H]."""
        if self.mesh_config.throughput:
            return self._routed(x)
        return self.experts.decode(x, self.router.prefill(x))

    def _routed(self, x: Any) -> Any:
        """Return [1, 1, S, H] for tokens of this row alone."""
        return self.experts(x, self.router.choose(x))

    def _shared(self, x: Any) -> Any:
        """Return [1, 1, S, H] for tokens that every row knows, shared out over the rows."""
        length, ways = x.shape[2], self.mesh_config.prefill.sp
        if ways == 1:
            return self._both(x)
        missing = -length % ways
        if missing:
            x = ttnn.pad(x, [(0, 0), (0, 0), (0, missing), (0, 0)], value=0.0)
        own = self.ccl.partition(x, 2, ROW_AXIS)
        y = self.ccl.all_gather(self._both(own), 2, ROW_AXIS)
        if not missing:
            return y
        return ttnn.slice(y, [0, 0, 0, 0], [1, 1, length, y.shape[3]])

    def _both(self, x: Any) -> Any:
        return self.experts.prefill(x, self.router.prefill(x))

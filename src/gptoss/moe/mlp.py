"""Route each token to its experts: router, then experts, spread over the mesh.

Letters: S sequence, H hidden. In prefill each row takes S / SP tokens and all rows join them at the end.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.component import Component, flat, reshape_like
from gptoss.mesh_config import ROW_AXIS
from gptoss.moe.expert_bank import RESIDENT_LIMIT_BYTES
from gptoss.moe.experts import Experts
from gptoss.moe.router import TopKRouter

__all__ = ["MLP"]


class MLP(Component):
    """The mixture of experts of one layer."""

    def __init__(self, *args: Any, limit_bytes: int = RESIDENT_LIMIT_BYTES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.router = TopKRouter(*args, **kwargs)
        self.experts = Experts(*args, limit_bytes=limit_bytes, **kwargs)

    def __call__(self, x: Any) -> Any:
        """Return [.., S, H] for a prompt [.., S, H]."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(self, x: Any) -> Any:
        """Return [1, 1, S, H] for a prompt [1, 1, S, H]."""
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

    def decode(self, x: Any) -> Any:
        """Return [1, 1, 1, H] for one token [1, 1, 1, H]."""
        return self.experts.decode(x, self.router.prefill(x))

    def _both(self, x: Any) -> Any:
        return self.experts.prefill(x, self.router.prefill(x))

"""Apply every expert of a set to every token: gate and up, the clamped SwiGLU between, down.

Letters: T tokens, H hidden, I intermediate (of one device), E experts of a set.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.component import Component, precise
from gptoss.moe.expert_bank import ExpertSet

__all__ = ["FeedForward"]


class FeedForward(Component):
    """What experts compute, however they are spread."""

    def _of_each(self, x: Any, experts: ExpertSet) -> Any:
        """Return [1, E, T, H], what each expert of the set makes of tokens [1, 1, T, H], less its down bias."""
        gate = ttnn.matmul(x, experts.gate, compute_kernel_config=precise())
        up = ttnn.matmul(x, experts.up, compute_kernel_config=precise())
        hidden = self._swiglu(ttnn.add(gate, experts.gate_bias), ttnn.add(up, experts.up_bias))
        return ttnn.matmul(hidden, experts.down, compute_kernel_config=precise())

    def _swiglu(self, gate: Any, up: Any) -> Any:
        """Return (up + 1) * gate * sigmoid(alpha * gate), both clamped at the limit."""
        limit = self.config.swiglu_limit
        gate = ttnn.clamp(gate, max=limit)
        up = ttnn.clamp(up, min=-limit, max=limit)
        gated = ttnn.multiply(gate, ttnn.sigmoid(ttnn.multiply(gate, self.config.swiglu_alpha)))
        return ttnn.multiply(ttnn.add(up, 1.0), gated)

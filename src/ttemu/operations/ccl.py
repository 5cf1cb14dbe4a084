"""Offer ``ttnn.operations.ccl``: what the collectives take besides tensors."""

from __future__ import annotations

from enum import Enum

from ttemu.configs import Topology

__all__ = ["MoEActivationFunction", "Topology"]


class MoEActivationFunction(Enum):
    """The activation inside a fused mixture-of-experts kernel."""

    SILU = 0
    SWIGLU = 1
    GELU = 2
    CLAMPED_SILU = 3

"""Normalise hidden states by their root mean square; every device does it for itself.

Letters: S sequence, H hidden.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.component import Component, flat, place, precise, reshape_like
from gptoss.mesh_config import TILE

__all__ = ["RMSNorm"]


class RMSNorm(Component):
    """y = weight * x / sqrt(mean(x^2) + eps) over H."""

    def __init__(self, *args: Any, name: str = "input_layernorm", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        key = name if "." in name else f"model.layers.{self.layer}.{name}"
        # The kernel wants the weight in row-major rows of one tile's width.
        rows = self.state_dict[f"{key}.weight"].reshape(1, 1, -1, TILE)
        self.scale = place(self.mesh_device, rows, layout=ttnn.ROW_MAJOR_LAYOUT)

    def __call__(self, x: Any) -> Any:
        """Return the norm of [.., S, H], same shape."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(self, x: Any) -> Any:
        """Return the norm of [1, 1, S, H]; decode is the same with S = 1."""
        return ttnn.rms_norm(
            x,
            weight=self.scale,
            epsilon=self.config.rms_norm_eps,
            compute_kernel_config=precise(),
        )

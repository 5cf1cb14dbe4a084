"""Change what single devices hold: the emulator keeps a mesh tensor as one torch tensor [rows, cols, *shard]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ttemu.axes import spread
from ttemu.frame import read, write

__all__ = ["altered", "values_of"]


def values_of(x: Any) -> torch.Tensor:
    """Return what each device holds, [rows, cols, *shape] in float32 or integers."""
    return spread(read("drill", x), x.mesh.span)


def altered(x: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return ``x`` with its values, one copy a device, changed; shape, dtype and place stay."""
    return write("drill", change(values_of(x).clone()), x)

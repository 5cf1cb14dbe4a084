"""Cut a long run of tokens into parts, and join what was made of them.

Letters: T tokens, N width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ttnn

__all__ = ["cut", "join"]


def cut(x: Any, size: int) -> list[Any]:
    """Return [1, 1, T, N] as parts of at most ``size`` tokens."""
    length, width = x.shape[2], x.shape[3]
    if length <= size:
        return [x]
    starts = range(0, length, size)
    return [ttnn.slice(x, [0, 0, start, 0], [1, 1, min(start + size, length), width]) for start in starts]


def join(parts: Sequence[Any], dim: int = 2) -> Any:
    """Return the parts, one after another along ``dim``, as one."""
    return ttnn.concat(list(parts), dim=dim) if len(parts) > 1 else parts[0]

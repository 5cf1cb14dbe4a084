"""Count how often a described cluster is read, since the real ttnn hangs when that is too often.

Every read of a device puts an entry into a queue of the opened mesh. On hardware a thread takes them out; on a mock
nobody does, and the call after the last place spins for ever, holding the interpreter (measured with ttnn 0.81.1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["LIMIT", "Readbacks"]

#: Reads that an opened mesh of ttnn 0.81.1 answers on a mock.
LIMIT = 8191
_METHODS = ("cpu", "item", "to_list", "to_numpy", "to_torch", "to_torch_with_padded_shape")


class Readbacks:
    """The reads since a mesh was opened."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def many(self) -> bool:
        """Whether a mesh should be opened anew before it is used for another test."""
        return self.count > LIMIT // 2

    def watch(self, ttnn: ModuleType) -> None:
        """Count what is read through the methods of a tensor and ``ttnn.from_device`` from now on."""
        for name in _METHODS:
            setattr(ttnn.Tensor, name, self._counted(getattr(ttnn.Tensor, name)))
        ttnn.from_device = self._counted(ttnn.from_device)  # type: ignore[attr-defined]

    def _counted(self, read: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(read, updated=())
        def counted(tensor: Any, *arguments: Any, **options: Any) -> Any:
            if tensor.device() is not None:
                self.count += 1
                if self.count > LIMIT:
                    raise RuntimeError(
                        f"a mock mesh can be read {LIMIT:,} times before the real ttnn hangs, and this test has done "
                        "so; read fewer tensors, or open the mesh anew"
                    )
            return read(tensor, *arguments, **options)

        return counted

"""Tell the real ``ttnn`` from the emulator, and put the same call to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import torch

__all__ = ["Libraries", "bits", "load", "tensors", "wheel_is_here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The real library and the emulator, in one process."""

    real: ModuleType
    emulated: ModuleType

    def outcomes(self, call: Callable[[ModuleType], Any]) -> tuple[Any, Any]:
        """Return what the call gives in both: tensors, or the error that it raises."""
        return _outcome(self.real, call), _outcome(self.emulated, call)


def load() -> Libraries:
    """Import both; where ``ttnn`` is the emulator under another name there is nothing to compare."""
    import ttnn

    import ttemu

    if ttnn is ttemu:
        raise RuntimeError("ttnn is the emulator's stand-in here; run the comparison where the real wheel is installed")
    return Libraries(real=ttnn, emulated=ttemu)


def wheel_is_here() -> bool:
    """Say whether the real library is installed, and not the emulator under its name."""
    try:
        return not version("ttnn").endswith("+emulated")
    except PackageNotFoundError:
        return False


def _outcome(library: ModuleType, call: Callable[[ModuleType], Any]) -> Any:
    try:
        return call(library)
    except (RuntimeError, TypeError, ValueError) as error:
        return error


def tensors(value: Any) -> list[torch.Tensor]:
    """Return a result of one or several torch tensors as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes that a tensor's numbers are made of."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)

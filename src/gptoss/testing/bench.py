"""Say what an open mesh is being tested with, so that a test need only name the mesh.

A fixture binds a `Bench` to the device; `TestFactory` looks it up by the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

__all__ = ["Bench", "Bounds", "bench_of", "bind"]


class Bounds(Protocol):
    """What a floor tells; None where a component has no such bound."""

    @property
    def pcc(self) -> float | None:
        """The least correlation that passes."""

    @property
    def max_error(self) -> float | None:
        """The greatest error that passes, relative to the largest expected value."""

    @property
    def rms_error(self) -> float | None:
        """The greatest error of all values together that passes, relative to all expected values together."""

    @property
    def slope_error(self) -> float | None:
        """The greatest factor, less 1, that may be in all values."""

    @property
    def top1(self) -> float | None:
        """The least share of tokens that are the model's first choice."""

    @property
    def top5(self) -> float | None:
        """The least share of tokens that are among the model's first five."""


@dataclass(frozen=True, slots=True)
class _Loose:
    """Bounds for a device that nothing was bound to; a bound one has measured floors."""

    pcc: float | None = 0.99
    max_error: float | None = 0.1
    rms_error: float | None = 0.15
    slope_error: float | None = 0.05
    top1: float | None = 0.8
    top5: float | None = 0.95


# The matrix's scale "tiny": divides evenly on every mesh up to 4x8.
TINY: Mapping[str, object] = MappingProxyType(
    {
        "hidden_size": 256,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 32,
        "vocab_size": 512,
        "sliding_window": 16,
        "max_position_embeddings": 2048,
        "initial_context_length": 64,
    }
)


def _loose(component: str) -> Bounds:
    return _Loose()


def _forget(name: str, value: object) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Dtype, sizes, splits and floors of the cell that a mesh device is open for."""

    mesh: str
    dtype: str = "bfloat8_b"
    scale: str = "tiny"
    config: Mapping[str, object] = field(default_factory=lambda: TINY)
    layers: int = 2
    decode: Mapping[str, int] = field(default_factory=dict)
    prefill: Mapping[str, int] = field(default_factory=dict)
    floor: Callable[[str], Bounds] = _loose
    record: Callable[[str, object], None] = _forget
    checkpoint: Path | None = None
    # Where packed weights are kept from one process to the next.
    weight_cache: Path | None = None
    # The sizes of all declared scales, to name the one that a checkpoint of other sizes is of.
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # False on devices that compute nothing (a mock): comparisons then look at shapes alone, and say so.
    values: bool = True
    # Numbers the comparisons whose values were waived, so that none is waived in silence.
    waived: Iterator[int] = field(default_factory=lambda: itertools.count(1))


# By the identity of the device object: the real MeshDevice is neither hashable by value nor weakly referable.
_BOUND: dict[int, Bench] = {}


@contextmanager
def bind(mesh_device: Any, bench: Bench) -> Iterator[None]:
    """Let tests of ``mesh_device`` find ``bench`` until the context ends."""
    before = _BOUND.get(id(mesh_device))
    _BOUND[id(mesh_device)] = bench
    try:
        yield
    finally:
        _BOUND.pop(id(mesh_device))
        if before is not None:
            _BOUND[id(mesh_device)] = before


def bench_of(mesh_device: Any) -> Bench:
    """Return what was bound to the device, or the tiny model spread over all of its mesh."""
    bound = _BOUND.get(id(mesh_device))
    if bound is not None:
        return bound
    rows, cols = mesh_device.shape[0], mesh_device.shape[1]
    return Bench(
        mesh=f"{rows}x{cols}",
        decode={"tp": cols, "ep": rows, "sp": 1},
        prefill={"tp": cols, "ep": 1, "sp": rows},
    )

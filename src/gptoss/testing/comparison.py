"""Judge a mesh tensor against what it should be: every copy of it, on every device.

A mesh axis either splits a tensor along a dim or holds copies of it. Shards are joined to whole copies first;
each copy is then compared by correlation (PCC), by its largest error, by its error as a whole and by the factor that
all its values share, and copies must be alike bit for bit. Correlation cannot see such a factor; the errors see it
where it exceeds the noise, the slope long before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import ttnn

from gptoss.testing.bench import Bounds

__all__ = ["Comparison", "Limits", "compare", "copies", "correlation", "rms_error", "slope_error"]

Dims = tuple[int | None, int | None]

# A slope is so many of its standard errors from 1 by chance in one of 16,000 comparisons.
STANDARD_ERRORS = 4

# Devices that differ are named, but not all 32 of them.
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The least correlation and the greatest errors that pass.

    ``max_error`` bounds max|actual - expected| / max|expected|, ``rms_error`` |actual - expected| / |expected| as
    vectors, ``slope_error`` the factor in all of ``actual``, less 1.
    """

    pcc: float
    max_error: float
    rms_error: float = math.inf
    slope_error: float = math.inf

    @classmethod
    def of(cls, bounds: Bounds, *, pcc: float | None = None) -> Limits:
        """Return what a component's bounds say of values; another ``pcc`` wins.

        Raises ValueError where they are of tokens only.
        """
        names = ("pcc", "max_error", "rms_error", "slope_error")
        found = {name: getattr(bounds, name) for name in names}
        missing = [name for name, bound in found.items() if bound is None]
        if missing:
            raise ValueError(f"a floor that bounds no {', '.join(missing)}; values need {', '.join(names)}")
        return cls(**(found if pcc is None else found | {"pcc": pcc}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A verdict, true if everything is within bounds; prints its numbers beside the bounds."""

    subject: str
    limits: Limits
    pcc: float = float("nan")
    max_error: float = float("nan")
    rms_error: float = float("nan")
    slope_error: float = float("nan")
    faults: tuple[str, ...] = ()
    waived: bool = False

    def __bool__(self) -> bool:
        if self.waived:
            return not self.faults
        return not self.faults and all(self._held())

    def __str__(self) -> str:
        if self.waived:
            return f"values waived, shape as expected ({self.subject})"
        above, below, near, true = self._held()
        parts = [
            *self.faults,
            f"PCC {self.pcc:.6f} {'>=' if above else '<'} {self.limits.pcc:.6g}",
            f"max error {self.max_error:.4g} {'<=' if below else '>'} {self.limits.max_error:.4g}",
            f"rms error {self.rms_error:.4g} {'<=' if near else '>'} {self.limits.rms_error:.4g}",
            f"slope error {self.slope_error:.4g} {'<=' if true else '>'} {self.limits.slope_error:.4g}",
        ]
        return f"{'; '.join(parts)} ({self.subject})"

    __repr__ = __str__

    def _held(self) -> tuple[bool, bool, bool, bool]:
        # Written so that a NaN fails.
        limits = self.limits
        return (
            self.pcc >= limits.pcc,
            self.max_error <= limits.max_error,
            self.rms_error <= limits.rms_error,
            self.slope_error <= limits.slope_error,
        )


def correlation(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return Pearson's correlation in float64, NaN where either side is constant."""
    pair = torch.stack([actual.flatten(), expected.flatten()]).double()
    pair = pair - pair.mean(dim=1, keepdim=True)
    norms = pair.norm(dim=1)
    if not norms.all():
        return float("nan")
    return float((pair[0] * pair[1]).sum() / norms.prod())


def rms_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return |actual - expected| / |expected| as vectors in float64, NaN where all of ``expected`` is zero."""
    expected = expected.double()
    length = float(expected.norm())
    return float((actual.double() - expected).norm()) / length if length else float("nan")


def slope_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Return how far from 1 the factor between ``expected`` and ``actual`` may lie, in float64.

    That is |<actual, expected> / <expected, expected> - 1| and four standard errors: what the noise of so many values
    may add or hide. NaN where all of ``expected`` is zero.
    """
    actual, expected = actual.flatten().double(), expected.flatten().double()
    square = float(expected @ expected)
    if not square:
        return float("nan")
    slope = float(actual @ expected) / square
    noise = float((actual - slope * expected).norm()) / math.sqrt(square * expected.numel())
    return abs(slope - 1) + STANDARD_ERRORS * noise


def copies(actual: Any, mesh_shape: tuple[int, int], dims: Dims = (None, None)) -> dict[tuple[int, int], torch.Tensor]:
    """Return every whole copy of a mesh tensor, by the coordinate where it starts.

    ``actual`` is a tensor on the mesh, the list of its shards in row-major order, or a host tensor.
    """
    if isinstance(actual, torch.Tensor):
        return {(0, 0): actual.float()}
    rows, cols = mesh_shape
    listed = actual if isinstance(actual, Sequence) else ttnn.get_device_tensors(actual)
    if len(listed) != rows * cols:
        raise ValueError(f"{len(listed)} shards on a {rows}x{cols} mesh; expected {rows * cols}")
    hosts = [shard if isinstance(shard, torch.Tensor) else ttnn.to_torch(shard) for shard in listed]
    grid = {(r, c): hosts[r * cols + c].float() for r in range(rows) for c in range(cols)}
    for axis, dim in ((1, dims[1]), (0, dims[0])):
        if dim is not None:
            grid = _joined(grid, axis, dim)
    return grid


def compare(
    actual: Any,
    expected: torch.Tensor,
    *,
    mesh_shape: tuple[int, int],
    limits: Limits,
    subject: str,
    dims: Dims = (None, None),
    values: bool = True,
) -> Comparison:
    """Return the verdict on the worst copy; shards may carry zeros beyond ``expected``.

    Without ``values`` only shapes are compared, for devices that compute none.
    """
    expected = expected.float()
    found: list[torch.Tensor] = []
    faults: list[str] = []
    for place, copy in copies(actual, mesh_shape, dims).items():
        trimmed, fault = _trimmed(copy, expected, dims, values=values)
        if fault:
            return Comparison(subject=subject, limits=limits, faults=(f"device {place}: {fault}",))
        if found and not values:
            continue
        if not found or not torch.equal(trimmed, found[0]):
            found.append(trimmed)
        if len(found) > 1 and trimmed is found[-1]:
            faults.append(f"device {place} differs from (0, 0) by {_largest(trimmed, found[0]):.4g}")
    if not values:
        return Comparison(subject=subject, limits=limits, waived=True)
    faults = faults[:SHOWN] + _oddities(found[0], expected)
    return Comparison(
        subject=subject,
        limits=limits,
        pcc=_worst(torch.Tensor.min, [correlation(copy, expected) for copy in found]),
        max_error=_worst(torch.Tensor.max, [_error(copy, expected) for copy in found]),
        rms_error=_worst(torch.Tensor.max, [rms_error(copy, expected) for copy in found]),
        slope_error=_worst(torch.Tensor.max, [slope_error(copy, expected) for copy in found]),
        faults=tuple(faults),
    )


def _worst(pick: Callable[[torch.Tensor], torch.Tensor], values: list[float]) -> float:
    # A tensor, since Python's min and max skip over a NaN.
    return float(pick(torch.tensor(values, dtype=torch.float64)))


def _joined(grid: dict[tuple[int, int], torch.Tensor], axis: int, dim: int) -> dict[tuple[int, int], torch.Tensor]:
    """Join the shards along one mesh axis, leaving coordinate 0 of it."""
    lines: dict[tuple[int, int], list[torch.Tensor]] = {}
    for (row, col), shard in grid.items():
        lines.setdefault((row, 0) if axis == 1 else (0, col), []).append(shard)
    return {place: torch.cat(shards, dim=dim) for place, shards in lines.items()}


def _trimmed(
    copy: torch.Tensor, expected: torch.Tensor, dims: Dims, *, values: bool
) -> tuple[torch.Tensor, str | None]:
    """Return the copy in the shape of ``expected``, or why it has another."""
    wanted = (1,) * (copy.dim() - expected.dim()) + tuple(expected.shape)
    split = {dim % copy.dim() for dim in dims if dim is not None}
    alike = len(wanted) == copy.dim() and all(
        have == want or (dim in split and have > want)
        for dim, (have, want) in enumerate(zip(copy.shape, wanted, strict=True))
    )
    if not alike:
        return copy, f"shape {list(copy.shape)}, expected {list(expected.shape)}"
    inside = tuple(slice(size) for size in wanted)
    beyond = copy.clone()
    beyond[inside] = 0.0
    if values and beyond.any():
        return copy, "the padding beyond the last value is not zero"
    return copy[inside].reshape(expected.shape), None


def _oddities(found: torch.Tensor, expected: torch.Tensor) -> list[str]:
    """Say what no number tells; a constant correlates with nothing, so it is refused even where it is right."""
    odd = []
    for name, tensor in (("the expected value", expected), ("the output", found)):
        if not tensor.isfinite().all():
            odd.append(f"{name} holds {int((~tensor.isfinite()).sum())} values that are NaN or infinite")
        elif tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
            odd.append(f"{name} is the constant {float(tensor.flatten()[0]):.4g}, which has no correlation")
    return odd


def _largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    largest = float(expected.abs().max())
    return _largest(found, expected) / largest if largest else float("nan")

"""Hold coordinates, ranges and grids of the cores of one chip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CoreCoord", "CoreGrid", "CoreRange", "CoreRangeSet", "divup", "num_cores_to_corerangeset"]


def divup(value: int, divisor: int) -> int:
    """Divide and round up."""
    return -(-value // divisor)


@dataclass(frozen=True, slots=True)
class CoreCoord:
    """Column ``x`` and row ``y`` of a core, or the extent of a grid."""

    x: int
    y: int

    def __repr__(self) -> str:
        return f"{self.x}-{self.y}"


@dataclass(frozen=True, slots=True)
class CoreRange:
    """A rectangle of cores, both corners included."""

    start: CoreCoord
    end: CoreCoord

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            corner = getattr(self, name)
            if isinstance(corner, tuple):
                object.__setattr__(self, name, CoreCoord(*corner))
            elif not isinstance(corner, CoreCoord):
                raise TypeError(f"CoreRange: incompatible function arguments, {name} {corner!r}")
        if self.start.x > self.end.x or self.start.y > self.end.y:
            raise RuntimeError(f"Invalid core range for start_coord: {self.start}, end_coord: {self.end}")

    def __repr__(self) -> str:
        return f"[{self.start} - {self.end}]"

    def size(self) -> int:
        """Return the number of cores."""
        return (self.end.x - self.start.x + 1) * (self.end.y - self.start.y + 1)

    def grid_size(self) -> CoreCoord:
        """Return columns and rows of the rectangle."""
        return CoreCoord(self.end.x - self.start.x + 1, self.end.y - self.start.y + 1)


class CoreRangeSet:
    """Several rectangles of cores."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[CoreRange] | CoreRange) -> None:
        listed = (ranges,) if isinstance(ranges, CoreRange) else tuple(ranges)
        if not all(isinstance(item, CoreRange) for item in listed):
            raise TypeError(f"CoreRangeSet: incompatible function arguments {listed!r}; expected CoreRange")
        self._ranges = tuple(sorted(listed, key=lambda item: (item.start.y, item.start.x)))

    def ranges(self) -> list[CoreRange]:
        """Return the rectangles, top first."""
        return list(self._ranges)

    def num_cores(self) -> int:
        """Return the number of cores."""
        return sum(item.size() for item in self._ranges)

    def bounding_box(self) -> CoreRange:
        """Return the smallest rectangle around all cores."""
        return CoreRange(
            CoreCoord(min(item.start.x for item in self._ranges), min(item.start.y for item in self._ranges)),
            CoreCoord(max(item.end.x for item in self._ranges), max(item.end.y for item in self._ranges)),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CoreRangeSet) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(str, self._ranges))}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreGrid:
    """Rows ``y`` and columns ``x`` of cores."""

    y: int
    x: int

    def __repr__(self) -> str:
        return f"ttnn.CoreGrid(x={self.x}, y={self.y})"

    @property
    def num_cores(self) -> int:
        """Number of cores."""
        return self.x * self.y


def num_cores_to_corerangeset(target_num_cores: int, grid_size: CoreCoord, row_wise: bool = False) -> CoreRangeSet:
    """Return the first ``target_num_cores`` cores of a grid, column by column or ``row_wise``."""
    if target_num_cores > grid_size.x * grid_size.y:
        raise RuntimeError(f"Target number of cores {target_num_cores} is greater than the grid {grid_size}")
    length = grid_size.x if row_wise else grid_size.y
    full, rest = divmod(target_num_cores, length)
    spans = ([(0, 0, length - 1, full - 1)] if full else []) + ([(0, full, rest - 1, full)] if rest else [])
    if row_wise:
        return CoreRangeSet(CoreRange(CoreCoord(a, b), CoreCoord(c, d)) for a, b, c, d in spans)
    return CoreRangeSet(CoreRange(CoreCoord(b, a), CoreCoord(d, c)) for a, b, c, d in spans)

"""Hold tensor shapes, mesh shapes and mesh coordinates as ttnn does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

__all__ = ["FULL_RANK", "MeshCoordinate", "MeshCoordinateRange", "MeshShape", "Shape"]

FULL_RANK = 4
"""Rank that ttnn counts shapes up to, and that many ops ask for."""


def _extents(name: str, args: tuple[object, ...]) -> tuple[int, ...]:
    """Read ``(r, c)`` or ``((r, c),)`` as integers."""
    values: object = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
    if not isinstance(values, Iterable):
        raise TypeError(f"{name}: incompatible function arguments {args!r}")
    extents = tuple(values)
    if not all(isinstance(extent, int) for extent in extents):
        raise TypeError(f"{name}: incompatible function arguments {args!r}; expected integers")
    return extents


def _at(dims: tuple[int, ...], index: int) -> int:
    """Return an extent; up to a rank of four there are ones before the first."""
    lowest = -max(len(dims), FULL_RANK)
    if not lowest <= index < len(dims):
        raise RuntimeError(f"ShapeBase[] index out of range. {index} not in [{lowest}, {len(dims)})")
    return dims[index] if index >= -len(dims) else 1


class Shape:
    """The logical or padded extents of a tensor; indexed by integers only."""

    __slots__ = ("_dims",)

    def __init__(self, dims: Iterable[int]) -> None:
        self._dims = _extents("Shape", (tuple(dims),))
        if min(self._dims, default=0) < 0:
            raise TypeError(f"Shape: incompatible function arguments {self._dims}, an extent is negative")

    @property
    def rank(self) -> int:
        """Number of dims."""
        return len(self._dims)

    def to_rank(self, rank: int) -> Shape:
        """Return the shape with leading ones added or removed."""
        if rank >= self.rank:
            return Shape((1,) * (rank - self.rank) + self._dims)
        extra = self.rank - rank
        if any(dim != 1 for dim in self._dims[:extra]):
            raise RuntimeError(f"{self}: cannot be reduced to rank {rank}, a leading dim is not 1")
        return Shape(self._dims[extra:])

    def volume(self) -> int:
        """Return the number of elements."""
        return math.prod(self._dims)

    def __getitem__(self, index: int) -> int:
        if not isinstance(index, int):
            raise TypeError(f"Shape: incompatible function arguments, index {index!r} is not an integer")
        return _at(self._dims, index)

    def __len__(self) -> int:
        return len(self._dims)

    def __iter__(self) -> Iterator[int]:
        return iter(self._dims)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Shape):
            return self._dims == other._dims
        if isinstance(other, (tuple, list)):
            return self._dims == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._dims)

    def __repr__(self) -> str:
        return f"Shape({list(self._dims)})"


class _MeshPair:
    """Two integers of a mesh: iterable and indexable, without a length, comparable to its own kind only."""

    __slots__ = ("_pair",)

    def __init__(self, *args: object) -> None:
        self._pair = _extents(type(self).__name__, args)
        if len(args) == 1 and isinstance(args[0], int):
            raise TypeError(f"{type(self).__name__}: incompatible function arguments {args!r}")

    def dims(self) -> int:
        """Return the number of mesh axes."""
        return len(self._pair)

    def __getitem__(self, index: int) -> int:
        if not isinstance(index, int):
            raise TypeError(f"{type(self).__name__}: incompatible function arguments, index {index!r}")
        return _at(self._pair, index)

    def __iter__(self) -> Iterator[int]:
        return iter(self._pair)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__}.__eq__(): incompatible function arguments, got {other!r}")
        return self._pair == other._pair

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._pair)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._pair)})"


class MeshShape(_MeshPair):
    """Rows and columns of a mesh; comparing it with a tuple is a TypeError, as in ttnn."""

    __slots__ = ()

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        if not args or any(extent < 0 for extent in self._pair):
            raise TypeError(f"MeshShape: incompatible function arguments {args!r}")

    def mesh_size(self) -> int:
        """Return the number of devices."""
        return math.prod(self._pair)


class MeshCoordinate(_MeshPair):
    """Row and column of a device in its mesh."""

    __slots__ = ()

    def __getitem__(self, index: int) -> int:
        if isinstance(index, int) and not -self.dims() <= index < self.dims():
            raise RuntimeError(
                f"MeshCoordinate: index {index} is out of bounds, not in [{-self.dims()}, {self.dims()})"
            )
        return super().__getitem__(index)


class MeshCoordinateRange:
    """The coordinates of a rectangle, both corners included, row by row."""

    __slots__ = ("end", "start")

    def __init__(self, start: MeshCoordinate | MeshShape, end: MeshCoordinate | None = None) -> None:
        if isinstance(start, MeshShape):
            end = MeshCoordinate([extent - 1 for extent in start])
            start = MeshCoordinate([0] * start.dims())
        if not (isinstance(start, MeshCoordinate) and isinstance(end, MeshCoordinate)):
            raise TypeError(f"MeshCoordinateRange: incompatible function arguments ({start!r}, {end!r})")
        if any(first > last for first, last in zip(start, end, strict=True)):
            raise RuntimeError(f"MeshCoordinateRange: start coordinate {start} is greater than end coordinate {end}")
        self.start, self.end = start, end

    def __iter__(self) -> Iterator[MeshCoordinate]:
        for row in range(self.start[0], self.end[0] + 1):
            for col in range(self.start[1], self.end[1] + 1):
                yield MeshCoordinate(row, col)

    def __repr__(self) -> str:
        return f"MeshCoordinateRange(start={self.start}, end={self.end})"

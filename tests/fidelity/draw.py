"""Draw the arguments of generated calls from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

__all__ = ["FLOATS", "INTEGERS", "Draw"]

Item = TypeVar("Item")

FLOATS = ("B16", "B8", "B4", "F32")
INTEGERS = ("U16", "U32", "I32")
_EXTENTS = (1, 2, 5, 8, 16, 31, 32, 33, 40, 64, 96, 100, 128)


class Draw:
    """A source of shapes, dtypes and choices; the same seed draws the same calls on every Python."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def one(self, items: Sequence[Item]) -> Item:
        """Return one of ``items``."""
        return items[self._random.randrange(len(items))]

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return ``count`` different ones of ``items``, in drawn order."""
        rest = list(items)
        return [rest.pop(self._random.randrange(len(rest))) for _ in range(count)]

    def between(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return low + self._random.randrange(high - low + 1)

    def chance(self, percent: int) -> bool:
        """Return True in ``percent`` of a hundred draws."""
        return self._random.randrange(100) < percent

    def extent(self) -> int:
        """Return the length of one dim: on the tile, off it, and one."""
        return self.one(_EXTENTS)

    def shape(self, low: int = 2, high: int = 4, *, front: Sequence[int] = (1, 1, 2, 3, 4)) -> list[int]:
        """Return a shape of rank ``low`` to ``high``; dims before the last two are small."""
        rank = self.between(low, high)
        return [self.one(front) for _ in range(max(rank - 2, 0))] + [self.extent() for _ in range(min(rank, 2))]

    def floating(self) -> str:
        """Return the name of a floating dtype, bfloat16 most often."""
        return self.one((*FLOATS, "B16", "B16"))

    def dtype(self) -> str:
        """Return the name of any dtype, bfloat16 most often."""
        return self.one((*FLOATS, *INTEGERS, "B16", "B16"))

    def tensor(
        self, shape: Sequence[int], *, dtype: str = "B16", layout: str = "TL", place: str = "", host: int = 0
    ) -> str:
        """Return a tensor of ``shape`` on every device; with ``host`` percent of chance on the host."""
        extras = [f"dt={dtype}"] * (dtype != "B16") + [f"la={layout}"] * (layout != "TL")
        extras += [f"mc={place}"] * bool(place) + ["host=True"] * self.chance(host)
        return f"T({', '.join([*map(str, shape), *extras])})"

    def layout(self, row_major: int = 20) -> str:
        """Return TL, or RM in ``row_major`` percent of draws."""
        return "RM" if self.chance(row_major) else "TL"

    def options(self, *candidates: tuple[int, str]) -> str:
        """Return keyword arguments, each in its percentage of draws, with a leading comma each."""
        return "".join(f", {text}" for percent, text in candidates if self.chance(percent))

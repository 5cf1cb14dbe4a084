"""A cell of the matrix, and the expansion of a selection into cells."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cell"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One mesh, dtype and scale, printed as ``1x8-bfloat8_b-tiny``."""

    mesh: str
    dtype: str
    scale: str

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read a cell's id; only the scale may contain a dash."""
        mesh, dtype, scale = text.split("-", 2)
        return cls(mesh=mesh, dtype=dtype, scale=scale)

    def __str__(self) -> str:
        return f"{self.mesh}-{self.dtype}-{self.scale}"

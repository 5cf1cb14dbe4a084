"""The shape of a device mesh."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.errors import UserError

__all__ = ["MeshShape"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MeshShape:
    """Rows and columns of a device mesh, printed as ``1x8``."""

    rows: int
    cols: int

    @classmethod
    def parse(cls, text: str) -> MeshShape:
        """Read ``ROWSxCOLS``, such as ``4x8``; raises UserError for anything else."""
        rows, cross, cols = text.partition("x")
        if cross and rows.isdecimal() and cols.isdecimal() and int(rows) and int(cols):
            shape = cls(rows=int(rows), cols=int(cols))
            # One spelling only: 01x8 would be a second name for 1x8.
            if str(shape) == text:
                return shape
        raise UserError(f"mesh shape {text!r}: expected ROWSxCOLS, such as 1x8")

    @property
    def devices(self) -> int:
        """How many devices the mesh has."""
        return self.rows * self.cols

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"

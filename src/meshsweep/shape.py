"""The shape of a device mesh, and the rectangles a machine can be cut into.

Everything here is arithmetic on shapes: no device is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.errors import UserError

__all__ = ["MeshShape", "cut"]


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


def cut(machine: MeshShape, shape: MeshShape) -> tuple[tuple[int, ...], ...]:
    """Return the device ids of every ``shape`` rectangle of a machine, row-major.

    A remainder that cannot hold a whole rectangle is left out; no rectangle fits: empty.
    """
    return tuple(
        tuple(
            row * machine.cols + col for row in range(top, top + shape.rows) for col in range(left, left + shape.cols)
        )
        for top in range(0, machine.rows - shape.rows + 1, shape.rows)
        for left in range(0, machine.cols - shape.cols + 1, shape.cols)
    )

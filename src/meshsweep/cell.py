"""A cell of the matrix, and the expansion of a selection into cells."""

from __future__ import annotations

from dataclasses import dataclass

from meshsweep.errors import UserError

__all__ = ["Cell"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One mesh, dtype and scale, printed as ``1x8-bfloat8_b-tiny``."""

    mesh: str
    dtype: str
    scale: str

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read a cell's id; only the scale may contain a dash. Raises UserError for anything else."""
        mesh, _, rest = text.partition("-")
        dtype, _, scale = rest.partition("-")
        if not scale:
            raise UserError(f"cell {text!r}: expected MESH-DTYPE-SCALE, such as 1x8-bfloat8_b-tiny")
        return cls(mesh=mesh, dtype=dtype, scale=scale)

    def axes(self, environment: str) -> dict[str, str]:
        """Return what every result of the cell is labelled with, in an environment."""
        return {"mesh": self.mesh, "dtype": self.dtype, "scale": self.scale, "environment": environment}

    def __str__(self) -> str:
        return f"{self.mesh}-{self.dtype}-{self.scale}"

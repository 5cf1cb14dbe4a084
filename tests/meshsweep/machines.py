"""Machines in a line of code, for tests that need chips and no files."""

from __future__ import annotations

from meshsweep.machines import Chip, Machine
from meshsweep.machines.placement import joined
from meshsweep.shape import MeshShape

__all__ = ["host"]


def host(shape: str, *, paired: bool = False, rings: tuple[str, ...] = (), bus: tuple[str, ...] = ()) -> Machine:
    """Return a machine whose chips count row by row; ``paired``: two to a board, the second without PCIe."""
    grid = MeshShape.parse(shape)
    ids = tuple(range(grid.devices))
    chips = tuple(
        Chip(
            id=at,
            row=at // grid.cols,
            col=at % grid.cols,
            board=at // 2 if paired else at,
            pcie=at // 2 if paired and not at % 2 else None if paired else at,
            bus=bus[at] if bus else None,
        )
        for at in ids
    )
    return Machine(
        name="host",
        about="",
        shape=grid,
        runner=(),
        chips=chips,
        links=joined(grid, ids),
        rings=tuple(map(MeshShape.parse, rings)),
    )

"""Read a host from its table of ``matrix/machines.toml``."""

from __future__ import annotations

from meshsweep.machines.machine import Chip, Machine
from meshsweep.machines.placement import joined
from meshsweep.shape import MeshShape
from meshsweep.toml import Table

__all__ = ["read"]


def read(name: str, table: Table) -> Machine:
    """Return the machine of a table; its mistakes are noted there."""
    shape = table.shape("shape", None)
    about, runner = table.text("about"), table.texts("runner")
    rings = table.shapes("rings")
    board = table.shape("board", MeshShape(rows=1, cols=1)) or MeshShape(rows=1, cols=1)
    arch = table.text("arch", "wormhole_b0")
    if shape is None:
        return Machine(name=name, about=about, shape=None, runner=runner)
    for ring in rings:
        if ring.rows != 1 or ring.cols % 2 or not 4 <= ring.cols <= shape.devices:
            table.mistake(
                "rings", f"holds {ring}; expected 1xN with N even, from 4 to the machine's {shape.devices} chips"
            )
    ids = tuple(range(shape.devices))
    per_row = -(-shape.cols // board.cols)
    chips = tuple(
        Chip(id=at, row=row, col=col, board=row // board.rows * per_row + col // board.cols, pcie=at)
        for at, (row, col) in enumerate((row, col) for row in range(shape.rows) for col in range(shape.cols))
    )
    return Machine(
        name=name,
        about=about,
        shape=shape,
        runner=runner,
        arch=arch,
        chips=chips,
        links=joined(shape, ids),
        rings=rings,
    )

"""Turn a matrix and a selection into cells: a tier's product, filters, then rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from meshsweep.cell import Cell
from meshsweep.errors import SelectionError, nearest
from meshsweep.matrix import Matrix, Rule

__all__ = ["Expansion", "Selection", "expand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a command asked for; an empty axis leaves the choice to the tier.

    ``cells`` names exact cells in place of the tier's product.
    """

    tier: str
    environment: str
    machine: str
    meshes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The cells to run; those that a rule added or took away, each with its reason."""

    cells: tuple[Cell, ...]
    included: tuple[tuple[Cell, str], ...]
    excluded: tuple[tuple[Cell, str], ...]


def expand(matrix: Matrix, selection: Selection) -> Expansion:
    """Return the cells of a selection in declared order.

    A filter replaces the tier's choice on its axis, so that a scale outside the tier
    can be asked for by name. Raises SelectionError for unknown names (all of them at
    once) and for a selection that leaves no cell.
    """
    _check_names(matrix, selection)
    named = [cell for cell in selection.cells or _product(matrix, selection) if _passes(selection, cell)]
    rows = {} if selection.cells else dict(_included(matrix, selection))
    wanted = dict.fromkeys([*named, *rows])
    excluded = {cell: reason for cell in wanted if (reason := _exclusion(matrix, selection, cell))}
    cells = tuple(cell for cell in wanted if cell not in excluded)
    if not cells:
        raise SelectionError(_nothing_left(excluded))
    added = tuple((cell, reason) for cell, reason in rows.items() if cell not in named and cell not in excluded)
    return Expansion(cells=cells, included=added, excluded=tuple(excluded.items()))


def _product(matrix: Matrix, selection: Selection) -> list[Cell]:
    tier = matrix.tiers[selection.tier]
    return [
        Cell(mesh=mesh, dtype=dtype, scale=scale)
        for mesh, dtype, scale in product(
            selection.meshes or tier.meshes,
            selection.dtypes or tier.dtypes,
            selection.scales or tier.scales,
        )
    ]


def _check_names(matrix: Matrix, selection: Selection) -> None:
    axes: list[tuple[str, str, Iterable[str], Sequence[str]]] = [
        ("mesh", "meshes.toml", matrix.meshes, [*selection.meshes, *(cell.mesh for cell in selection.cells)]),
        ("dtype", "dtypes.toml", matrix.dtypes, [*selection.dtypes, *(cell.dtype for cell in selection.cells)]),
        ("scale", "scales.toml", matrix.scales, [*selection.scales, *(cell.scale for cell in selection.cells)]),
        ("environment", "environments.toml", matrix.environments, [selection.environment]),
        ("machine", "machines.toml", matrix.machines, [selection.machine]),
        ("tier", "tiers.toml", matrix.tiers, [selection.tier]),
    ]
    mistakes = [
        f"unknown {what} {name!r}: not in {matrix.root.name}/{file}{nearest(name, known)}"
        for what, file, known, names in axes
        for name in dict.fromkeys(names)
        if name not in known
    ]
    if mistakes:
        raise SelectionError("\n".join(mistakes))


def _included(matrix: Matrix, selection: Selection) -> Iterable[tuple[Cell, str]]:
    for row in matrix.includes:
        if not row.applies(environment=selection.environment, tier=selection.tier):
            continue
        for mesh, dtype, scale in product(
            row.meshes or matrix.meshes, row.dtypes or matrix.dtypes, row.scales or matrix.scales
        ):
            cell = Cell(mesh=mesh, dtype=dtype, scale=scale)
            if _passes(selection, cell):
                yield cell, row.reason


def _passes(selection: Selection, cell: Cell) -> bool:
    return (
        (not selection.meshes or cell.mesh in selection.meshes)
        and (not selection.dtypes or cell.dtype in selection.dtypes)
        and (not selection.scales or cell.scale in selection.scales)
    )


def _exclusion(matrix: Matrix, selection: Selection, cell: Cell) -> str | None:
    def matches(row: Rule) -> bool:
        return row.matches(cell, environment=selection.environment, tier=selection.tier)

    return next((row.reason for row in matrix.excludes if matches(row)), None)


def _nothing_left(excluded: dict[Cell, str]) -> str:
    if not excluded:
        return "no cell is left: the filters and the named cells have nothing in common"
    reasons = "; ".join(f"{cell}: {reason}" for cell, reason in excluded.items())
    return f"every selected cell is excluded by matrix/rules.toml: {reasons}"

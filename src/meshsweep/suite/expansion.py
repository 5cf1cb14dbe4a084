"""Expand every test that asks for a mesh over the cells of the run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meshsweep.cell import Cell
from meshsweep.errors import nearest
from meshsweep.matrix import Matrix
from meshsweep.results.ledger import NO_CELL
from meshsweep.suite.marks import MARK

__all__ = ["AXES", "Expander", "cell_of", "mesh_of"]

#: Where among the properties of an item those begin that tell its cell.
AXES = pytest.StashKey[int]()

#: Stands for "no cell of this run": pytest turns an empty list into a skip, which would hide the hole.
_NONE = "no-cell"


class Expander:
    """Parametrises ``cell``, which ``mesh_device`` asks for, and labels each item."""

    def __init__(
        self,
        matrix: Matrix,
        cells: Sequence[Cell],
        *,
        unmarked: Sequence[Cell],
        environment: str,
        keeps_meshless: bool,
    ) -> None:
        self._matrix = matrix
        self._cells = tuple(cells)
        self._unmarked = tuple(unmarked)
        self._environment = environment
        self._keeps_meshless = keeps_meshless

    # First, so that the cell's id opens the brackets: test_x[1x8-bfloat8_b-tiny-...].
    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give a test one item per cell of its meshes."""
        if "cell" not in metafunc.fixturenames:
            _refuse_idle_mark(metafunc)
            return
        cells = self._cells_for(metafunc) or (None,)
        metafunc.parametrize(
            "cell",
            cells,
            ids=[_NONE if cell is None else str(cell) for cell in cells],
            indirect=True,
            scope="session",
        )

    # Before -k and -m deselect, so that they see real items only.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Drop tests without a cell in this run; write each item's axes into its report."""
        outside = [item for item in items if not self._is_inside(item)]
        if outside:
            config.hook.pytest_deselected(items=outside)
            items[:] = [item for item in items if self._is_inside(item)]
        for item in items:
            self._label(item)

    def _is_inside(self, item: pytest.Item) -> bool:
        cell = _param(item, "cell", NO_CELL)
        return self._keeps_meshless if cell == NO_CELL else cell is not None

    def _cells_for(self, metafunc: pytest.Metafunc) -> tuple[Cell, ...]:
        mark = metafunc.definition.get_closest_marker(MARK)
        if mark is None:
            return self._unmarked
        for mesh in mark.args:
            if mesh not in self._matrix.meshes:
                text = f"parametrize_mesh names unknown mesh {mesh!r}{nearest(mesh, self._matrix.meshes)}"
                raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {text}")
        return tuple(cell for cell in self._cells if not mark.args or cell.mesh in mark.args)

    def _label(self, item: pytest.Item) -> None:
        cell = _param(item, "cell", None)
        if isinstance(cell, Cell):
            item.stash[AXES] = len(item.user_properties)
            item.user_properties += cell.axes(self._environment).items()


def _refuse_idle_mark(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker(MARK) is not None:
        text = "parametrize_mesh has no effect: the test asks for neither mesh_device nor cell; add one of them"
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {text}")


def cell_of(item: pytest.Item) -> str:
    """Return the id of an item's cell, or a word for having none."""
    return str(_param(item, "cell", NO_CELL))


def mesh_of(cell: str) -> str:
    """Return the mesh of what ``cell_of`` returns, empty where there is none."""
    return "" if cell == NO_CELL else Cell.parse(cell).mesh


def _param(item: pytest.Item, name: str, default: object) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name, default) if callspec is not None else default

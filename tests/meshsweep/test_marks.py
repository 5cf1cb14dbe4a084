"""The mark that names meshes."""

from __future__ import annotations

import pytest

from meshsweep import parametrize_mesh
from meshsweep.suite.marks import MARK


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["1x8", "4x4"], ("1x8", "4x4")),
        ([(1, 8), "4x4"], ("1x8", "4x4")),
        ([(1, 8)], ("1x8",)),
        ("1x8", ("1x8",)),
        (None, ()),
    ],
)
def test_names_and_tuples_mean_meshes(given: list[str | tuple[int, int]] | None, names: tuple[str, ...]) -> None:
    mark = parametrize_mesh(given).mark

    assert (mark.name, mark.args) == (MARK, names)


def test_empty_list_is_not_every_mesh() -> None:
    with pytest.raises(ValueError) as caught:
        parametrize_mesh([])

    assert str(caught.value) == "parametrize_mesh names no mesh; call it without an argument for every mesh"

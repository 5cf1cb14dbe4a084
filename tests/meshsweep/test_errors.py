"""Error classes and suggestions."""

from __future__ import annotations

import pytest

from meshsweep.errors import InfraError, MatrixError, MeshsweepError, SelectionError, UserError, nearest


@pytest.mark.parametrize(("kind", "code"), [(UserError, 2), (SelectionError, 2), (InfraError, 3), (MeshsweepError, 1)])
def test_each_class_has_its_exit_code(kind: type[MeshsweepError], code: int) -> None:
    assert kind("text").exit_code == code


def test_matrix_error_is_a_line_per_mistake() -> None:
    error = MatrixError(["a: b", "c: d"])

    assert (str(error), error.mistakes, error.exit_code) == ("a: b\nc: d", ("a: b", "c: d"), 2)


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("1x9", ["1x1", "1x8", "4x4"], "; did you mean 1x8 or 1x1? choose from 1x1, 1x8, 4x4"),
        ("bf8", ["bfloat16", "bfloat8_b"], "; did you mean bfloat8_b? choose from bfloat16, bfloat8_b"),
        ("huge", ["tiny"], "; choose from tiny"),
        ("any", [], "; choose from (none declared)"),
    ],
)
def test_nearest_names_come_first(name: str, known: list[str], text: str) -> None:
    assert nearest(name, known) == text

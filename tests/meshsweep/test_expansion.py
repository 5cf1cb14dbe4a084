"""Which tests bare pytest makes of a suite."""

from __future__ import annotations

import pytest

from .project import TTNN, Project

SUITE = """
    from meshsweep import parametrize_mesh

    @parametrize_mesh()
    def test_all(cell):
        assert cell.mesh in ("1x1", "1x2", "1x8", "4x4")

    @parametrize_mesh([(1, 8), "4x4"])
    class TestSome:
        def test_method(self, mesh_device, cell):
            assert mesh_device.is_open

    def test_unmarked(mesh_device):
        pass

    def test_plain():
        pass
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that no test changes."""
    made = Project(tmp_path_factory.mktemp("suite"))
    made.declare()
    made.write("ttnn.py", TTNN)
    made.suite(SUITE)
    return made


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            [],
            [
                "test_all[1x1-bfloat8_b-tiny]",
                "test_all[1x2-bfloat8_b-tiny]",
                "test_all[1x8-bfloat8_b-tiny]",
                "test_all[4x4-bfloat8_b-tiny]",
                "TestSome::test_method[1x8-bfloat8_b-tiny]",
                "TestSome::test_method[4x4-bfloat8_b-tiny]",
                "test_unmarked[1x8-bfloat8_b-tiny]",
                "test_plain",
            ],
        ),
        (
            ["-k", "1x8"],
            [
                "test_all[1x8-bfloat8_b-tiny]",
                "TestSome::test_method[1x8-bfloat8_b-tiny]",
                "test_unmarked[1x8-bfloat8_b-tiny]",
            ],
        ),
        (
            ["--sweep-mesh", "1x1", "--sweep-dtype", "bfloat16"],
            ["test_all[1x1-bfloat16-tiny]", "test_unmarked[1x1-bfloat16-tiny]", "test_plain"],
        ),
        (
            ["-k", "unmarked", "--sweep-dtype=bfloat16", "--sweep-dtype=bfloat8_b", "--sweep-scale", "big"],
            ["test_unmarked[1x8-bfloat16-big]", "test_unmarked[1x8-bfloat8_b-big]"],
        ),
        (
            ["--sweep-tier", "nightly"],
            [
                "test_all[1x8-bfloat16-big]",
                "TestSome::test_method[1x8-bfloat16-big]",
                "test_unmarked[1x8-bfloat16-big]",
                "test_plain",
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
def test_arguments_choose_the_cells(suite: Project, arguments: list[str], expected: list[str]) -> None:
    assert sorted(suite.collected(*arguments)) == sorted(expected)


def test_tests_without_cell_are_deselected(suite: Project) -> None:
    """A skip would look like a result."""
    done = suite.pytest("--sweep-mesh", "1x1")

    assert done.code == 0
    assert done.lines[-1].partition(" in ")[0].strip("= ") == "3 passed, 1 deselected"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            '@parametrize_mesh(["1x8", "1x9"])\ndef test_x(cell): pass',
            "parametrize_mesh names unknown mesh '1x9'; did you mean 1x8 or 1x2? choose from 1x1, 1x2, 1x8, 4x4",
        ),
        (
            '@parametrize_mesh(["1x8"])\ndef test_x(): pass',
            "parametrize_mesh has no effect: the test asks for neither mesh_device nor cell; add one of them",
        ),
    ],
)
def test_wrong_mark_is_an_error(project: Project, body: str, message: str) -> None:
    project.suite(f"from meshsweep import parametrize_mesh\n{body}\n")
    done = project.pytest()

    assert done.code == 2
    assert f"tests/unit/test_suite.py::test_x: {message}" in done.lines
    assert "Traceback" not in done.out

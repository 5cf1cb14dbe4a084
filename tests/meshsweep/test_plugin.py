"""Bare pytest with the plugin: options, meshes, seeds, and projects that are none of its business."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from .project import Project


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--sweep-mesh", "1x9"],
            "unknown mesh '1x9': not in matrix/meshes.toml; did you mean 1x8 or 1x2? choose from 1x1, 1x2, 1x8, 4x4",
        ),
        (["--sweep-tier", "night"], "unknown tier 'night': not in matrix/tiers.toml; did you mean nightly? "),
        (["--sweep-matrix", "nowhere"], "nowhere/defaults.toml: missing; expected this file in nowhere"),
    ],
)
def test_wrong_option_is_usage_error(project: Project, arguments: list[str], message: str) -> None:
    done = project.pytest(*arguments)

    assert done.code == 4
    assert message in done.err
    assert "Traceback" not in done.err


def test_project_without_matrix_is_untouched(project: Project) -> None:
    project.suite("""
        import os, pytest

        @pytest.fixture
        def cell():
            return "own"

        def test_own_fixture(cell):
            assert cell == "own"
            assert "OMP_NUM_THREADS" not in os.environ
    """)
    (project.root / "matrix").rename(project.root / "elsewhere")
    done = project.pytest("-W", "error")

    assert (done.code, re.findall(r"\d+ passed", done.out)) == (0, ["1 passed"])


def test_fixture_without_matrix_says_so(project: Project) -> None:
    project.suite("def test_x(cell): pass\ndef test_y(matrix): pass\n")
    (project.root / "matrix").rename(project.root / "elsewhere")
    done = project.pytest("-rE", "--tb=line")

    assert done.lines.count(f"E   Failed: no matrix in {project.root}; add matrix/ or use --sweep-matrix") == 0
    assert done.out.count(f"no matrix in {project.root}; add matrix/ or use --sweep-matrix") >= 2


def test_one_torch_thread_per_process(project: Project) -> None:
    project.suite("import os\ndef test_x(): assert os.environ['OMP_NUM_THREADS'] == '1'\n")

    assert project.pytest().code == 0
    assert project.pytest(OMP_NUM_THREADS="2").code == 1


MESHES = """
    from meshsweep import parametrize_mesh

    @parametrize_mesh(["1x8", "1x1"])
    def test_a(mesh_device):
        assert mesh_device.is_open

    @parametrize_mesh(["1x8"])
    def test_b(mesh_device):
        assert not mesh_device.is_open, "on purpose"

    @parametrize_mesh(["1x8"])
    def test_c(mesh_device):
        assert mesh_device.is_open
"""


def test_mesh_stays_open_until_needed(project: Project) -> None:
    """Opened once for each mesh, and anew after the test that failed."""
    project.suite(MESHES)
    done = project.pytest("--junitxml=j.xml", "-W", "error")
    opens = [log for log in project.devices() if not log.startswith("fabric")]
    recorded = [
        case.get("name", "").partition("-")[0]
        for case in ET.parse(project.root / "j.xml").iter("testcase")
        if case.find(".//property[@name='mesh_open_s']") is not None
    ]

    assert done.code == 1
    assert sorted(recorded) == ["test_a[1x1", "test_a[1x8", "test_c[1x8"]
    assert opens.count("open 1x8 on anything") == 2
    assert opens.count("open 1x1 on anything") == 1
    assert [log == "close" for log in opens] == [False, True] * 3


SEEDS = """
    import random
    from pathlib import Path
    from meshsweep import parametrize_mesh

    @parametrize_mesh(["1x1", "1x8"])
    def test_x(cell, reset_seeds):
        with Path("seeds.txt").open("a") as file:
            print(cell.mesh, reset_seeds, random.random(), file=file)
"""


def test_seed_is_recorded_and_stable(project: Project) -> None:
    project.suite(SEEDS)
    seeds = project.root / "seeds.txt"
    both = project.pytest("--junitxml=j.xml", "-W", "error")
    first = sorted(seeds.read_text(encoding="utf-8").splitlines())
    seeds.unlink()
    alone = project.pytest("-k", "1x8")

    assert (both.code, alone.code, len(first)) == (0, 0, 2)
    assert seeds.read_text(encoding="utf-8").splitlines() == first[1:]
    recorded = {node.get("value") for node in ET.parse(project.root / "j.xml").iterfind(".//property[@name='seed']")}
    assert recorded == {line.split()[1] for line in first}
    assert len({line.split()[2] for line in first}) == 2


FLOORS = """
    [[floor]]
    component = "experts"
    dtype = "bfloat8_b"
    pcc = 0.98
    max_error = 0.15
    measured_pcc = 0.99
    measured_max_error = 0.1
    rms_error = 0.15
    measured_rms_error = 0.1
    slope_error = 0.15
    measured_slope_error = 0.1
    measured_on = { meshes = 1, scales = 1, samples = 1 }
"""


def test_matrix_fixture_knows_the_floors(project: Project) -> None:
    project.declare(floors=FLOORS)
    project.suite("""
        def test_x(matrix, cell, floor):
            assert matrix.floor("experts", cell).pcc == 0.98
            assert floor("experts").max_error == 0.15
            assert matrix.meshes[cell.mesh].decode.tp == 8
            assert matrix.scales[cell.scale].config["hidden_size"] == 256
    """)

    assert project.pytest().code == 0


def test_measuring_holds_nothing_to_a_floor(project: Project) -> None:
    project.declare(floors=FLOORS)
    project.suite("""
        def test_x(floor):
            for component in ("experts", "new"):
                bounds = floor(component).bounds
                errors = ("max_error", "rms_error", "slope_error")
                assert bounds == {"pcc": -1, "top1": -1, "top5": -1, **dict.fromkeys(errors, float("inf"))}
    """)

    assert project.pytest("--sweep-measure").code == 0
    assert project.pytest().code == 1


def test_seed_option_draws_other_inputs(project: Project) -> None:
    project.suite("""
        def test_x(cell, reset_seeds):
            print("seed", reset_seeds)
    """)
    seeds = [
        re.findall(r"seed (\d+)", project.pytest("-s", "-q", *options).out)
        for options in ([], ["--sweep-seed", "0"], ["--sweep-seed", "1"], ["--sweep-seed", "1"])
    ]

    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


def test_seed_that_is_no_number_is_refused(project: Project) -> None:
    assert "argument --sweep-seed: 'x' is not a whole number" in project.pytest("--sweep-seed", "x").err


def test_workers_of_bare_xdist_work(project: Project) -> None:
    """Without a run, xdist is left as it is."""
    project.suite(MESHES)
    done = project.pytest("-n", "1", "-q")

    assert done.lines[-1].partition(" in ")[0] == "1 failed, 3 passed"

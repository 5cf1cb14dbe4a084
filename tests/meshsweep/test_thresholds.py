"""What runs measured beside the floors: gathered, shown, written."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from meshsweep.cli import main
from meshsweep.errors import UserError
from meshsweep.numerics import samples, thresholds
from meshsweep.results.ledger import MEASURE

from .project import Project
from .test_gather import store
from .test_ledger import CELL, OTHER, Log

FLOORS = """
    [[floor]]
    component = "mlp"
    dtype = "bfloat16"
    pcc = 0.98
    max_error = 0.15
    rms_error = 0.15
    measured_pcc = 0.99
    measured_max_error = 0.1
    measured_rms_error = 0.1
    slope_error = 0.15
    measured_slope_error = 0.1
    measured_on = { meshes = 1, scales = 1, samples = 1 }
    [[floor]]
    component = "rope"
    dtype = "bfloat16"
    pcc = 0.98
    max_error = 0.15
    rms_error = 0.15
    slope_error = 0.15
    reason = "written by hand"
"""
ERRORS = {"rms_error.mlp": 0.05, "slope_error.mlp": 0.1, "seed": 7}
MLP = {"pcc.mlp": 0.985, "max_error.mlp": 0.12, "floor.mlp": 0.98, **ERRORS}
BETTER = {"pcc.mlp": 0.995, "max_error.mlp": 0.05, **ERRORS}
WORSE = {"pcc.mlp": 0.95, "max_error.mlp": 0.12, **ERRORS}


def measured(test: str = "f.py::test_x", cell: str = CELL, **properties: object) -> Log:
    """Return the log of a run with one test that passed and recorded numbers."""
    return Log({"wave-0": [cell]}).collected(test, cell=cell).reported(test, **properties)


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project as working directory, with floors."""
    project.declare(floors=FLOORS)
    monkeypatch.chdir(project.root)
    return project


def home(project: Project) -> Path:
    """Return where the runs of a project are kept."""
    return project.root / ".meshsweep"


def test_numbers_become_samples(here: Project) -> None:
    store(home(here), "one", measured(**MLP))
    found = samples.collect(home(here), [])

    assert [(sample.component, sample.measure, sample.value) for sample in found] == [
        ("mlp", "pcc", 0.985),
        ("mlp", "max_error", 0.12),
        ("mlp", "rms_error", 0.05),
        ("mlp", "slope_error", 0.1),
    ]
    assert {(str(sample.cell), sample.test, sample.seed, sample.has_passed) for sample in found} == {
        (CELL, "f.py::test_x", "7", True)
    }


def test_later_run_of_the_same_seed_counts(here: Project) -> None:
    store(home(here), "20260101", measured(**WORSE))
    store(home(here), "20260102", measured(**MLP))
    store(home(here), "20260103", measured(**{**BETTER, "seed": 8}))
    found = samples.collect(home(here), [], everything=True)

    assert {(sample.seed, sample.value) for sample in found if sample.measure == "pcc"} == {("7", 0.985), ("8", 0.995)}
    assert samples.counts(found) == {"meshes": 1, "scales": 1, "samples": 2}


def test_run_without_numbers_is_refused(here: Project) -> None:
    store(home(here), "one", measured())

    with pytest.raises(UserError, match=r"nothing was measured in one; expected tests that record pcc.COMPONENT"):
        samples.collect(home(here), [])


def shown(project: Project, log: Log) -> list[str]:
    """Return the lines that a log gets."""
    matrix = project.matrix(floors=FLOORS)
    found = list(samples.of_ledger(log.ledger))
    file = io.StringIO()
    console = Console(file=file, width=200, highlight=False)
    thresholds.show(thresholds.lines(matrix, found), thresholds.unmeasured(matrix, found), console)
    return [line.strip() for line in file.getvalue().splitlines()]


def test_line_tells_worst_bound_margin_and_whereabouts(here: Project) -> None:
    log = Log({"wave-0": [CELL]}).collected("f.py::test_x", "f.py::test_y")
    lines = shown(here, log.reported("f.py::test_x", **BETTER).reported("f.py::test_y", **MLP))

    assert [line.split() for line in lines if line.startswith("mlp")] == [
        [
            "mlp",
            "bfloat16",
            "tiny",
            "0.98500",
            "0.98000",
            "0.12",
            "0.15",
            "0.05",
            "0.15",
            "0.1",
            "0.15",
            "2",
            "80%",
            "max",
            "y",
            "1x8",
            "7",
        ]
    ]
    assert lines[-1] == "not measured here: rope"


def test_component_without_floor_is_shown(here: Project) -> None:
    lines = shown(here, measured(**{"pcc.new": 0.9, "top1.generation": 0.9, "top5.generation": 1.0}))

    assert ["new", "bfloat16", "tiny", "0.90000", *["none", "-"] * 3, "none", "1", "all"] in [
        line.split()[:13] for line in lines
    ]
    assert ["generation", "bfloat16", "tiny", "0.90000", "none", "1.00000", "none"] in [
        line.split()[:7] for line in lines
    ]


def test_mesh_with_a_floor_of_its_own_has_a_line(here: Project) -> None:
    matrix = here.matrix(floors=FLOORS)
    (wide,) = (row for row in matrix.floors if row.component == "mlp")
    matrix = replace(matrix, floors=(*matrix.floors, replace(wide, scale="tiny", mesh="1x8", pcc=0.99)))
    log = Log({"wave-0": [CELL, "1x1-bfloat16-tiny"]}).collected("a").collected("b", cell="1x1-bfloat16-tiny")
    found = thresholds.lines(matrix, samples.of_ledger(log.reported("a", **MLP).reported("b", **MLP).ledger))

    assert [(line.mesh, line.is_held) for line in found] == [(None, True), ("1x8", False)]


def test_command_shows_and_leaves_the_file(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here.root / "matrix/floors.toml").read_text(encoding="utf-8")
    store(home(here), "one", measured(**BETTER))
    code = main(["thresholds"])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 floors could be written: `meshsweep thresholds --write`"
    assert (here.root / "matrix/floors.toml").read_text(encoding="utf-8") == before


def test_command_raises_floors(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    store(home(here), "one", measured(**BETTER))
    code = main(["thresholds", "--write"])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "mlp in bfloat16: PCC 0.98 -> 0.99",
        "mlp in bfloat16: max error 0.15 -> 0.075",
        "mlp in bfloat16: rms error 0.15 -> 0.075",
        "3 floors written",
    ]
    assert "pcc = 0.99\n" in (here.root / "matrix/floors.toml").read_text(encoding="utf-8")
    assert main(["thresholds", "--write"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "every floor stands"


def test_command_lowers_for_a_reason_only(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    store(home(here), "one", measured(**WORSE))
    refused = main(["thresholds", "--write"])
    out = capsys.readouterr().out
    lowered = main(["thresholds", "--write", "--lower", "mlp", "--reason", "rounds twice"])

    assert (refused, lowered) == (1, 0)
    assert "mlp in bfloat16: PCC 0.95 beyond 0.98; find the defect, or `meshsweep thresholds --write --lower mlp" in out
    assert 'reason = "rounds twice"' in (here.root / "matrix/floors.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--all", "one"], ["--all and one: choose one"]),
        (["--lower", "mlp"], ["--lower: expected --write and a --reason with it"]),
        (["--write", "--reason", "x"], ["--reason: expected --lower COMPONENT with it"]),
        (
            ["one", "--all", "--lower", "mlp"],
            ["--all and one: choose one", "--lower: expected --write and a --reason with it"],
        ),
        (
            ["--write", "--lower", "rope", "--reason", "x"],
            ["--lower rope: not measured in these runs; choose from mlp"],
        ),
    ],
)
def test_mistakes_are_one_line_each(
    here: Project, capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]
) -> None:
    store(home(here), "one", measured(**MLP))
    code = main(["thresholds", *arguments])

    assert (code, capsys.readouterr().err.splitlines()) == (2, [f"meshsweep: {line}" for line in lines])


def test_run_that_measures_never_passes(here: Project) -> None:
    """It looks like any other run, but held nothing to its floor."""
    here.suite("""
        from meshsweep import parametrize_mesh

        @parametrize_mesh(["1x1"])
        def test_x(mesh_device, floor, reset_seeds, request):
            errors = [(f"{name}_error.new", 0.1) for name in ("max", "rms", "slope")]
            request.node.user_properties += [("pcc.new", 0.95), *errors]
            assert floor("new").pcc < 0.9
    """)
    axes = ["--mesh", "1x1", "--dtype", "bfloat16", "--scale", "tiny"]
    done = here.meshsweep("run", *axes, "--measure", "--seed", "3")
    written = here.meshsweep("thresholds", "--write")
    held = here.meshsweep("run", *axes)

    assert done.code == 1
    assert "no comparison was held to its floor: this run measured only" in done.out
    assert "new in bfloat16: new, PCC 0.9, max error 0.15, rms error 0.15, slope error 0.15" in written.out
    assert held.code == 1, "a floor of 0.9 is not below 0.9"
    assert list(here.results()) == ["test_x[1x1-bfloat16-tiny]"]


def test_measuring_is_known_from_the_log() -> None:
    log = measured(cell=OTHER)
    log.events[0]["arguments"] = [MEASURE]

    assert log.ledger.problems == ("no comparison was held to its floor: this run measured only",)

"""The command line: what it refuses, and what it prints without running a test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshsweep import __version__
from meshsweep.cli import main

from .project import Project
from .test_gather import expectation, green, store
from .test_ledger import CELL, OTHER, Log

NAMES = "did you mean 1x8 or 1x2? choose from 1x1, 1x2, 1x8, 4x4"


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project as working directory."""
    monkeypatch.chdir(project.root)
    return project


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--mesh", "1x9"], f"unknown mesh '1x9': not in matrix/meshes.toml; {NAMES}"),
        (
            ["--dtype", "bfloat8"],
            (
                "unknown dtype 'bfloat8': not in matrix/dtypes.toml; did you mean bfloat8_b or bfloat16? "
                "choose from bfloat16, bfloat8_b"
            ),
        ),
        (
            ["--scale", "tyni"],
            "unknown scale 'tyni': not in matrix/scales.toml; did you mean tiny? choose from tiny, tiny-padded, big",
        ),
        (
            ["--tier", "ful"],
            "unknown tier 'ful': not in matrix/tiers.toml; did you mean default? choose from default, nightly",
        ),
        (
            ["--env", "silicone"],
            (
                "unknown environment 'silicone': not in matrix/environments.toml; did you mean silicon? "
                "choose from fake, silicon"
            ),
        ),
        (
            ["--machine", "galaxi"],
            (
                "unknown machine 'galaxi': not in matrix/machines.toml; did you mean galaxy? "
                "choose from virtual, n300, t3k, galaxy"
            ),
        ),
        (
            ["--mesh", "4x4", "--machine", "t3k"],
            (
                "mesh 4x4 (16 devices) does not fit machine 't3k' (system mesh 2x4); "
                "choose another --machine or a smaller mesh"
            ),
        ),
        (["--cell", "1x8"], "cell '1x8': expected MESH-DTYPE-SCALE, such as 1x8-bfloat8_b-tiny"),
        (["--cell", "1x9-bfloat16-tiny"], f"unknown mesh '1x9': not in matrix/meshes.toml; {NAMES}"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_name_is_one_line(
    here: Project, capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], line: str
) -> None:
    code = main([command, *arguments])

    assert (code, capsys.readouterr()) == (2, ("", f"meshsweep: {line}\n"))
    assert not (here.root / ".meshsweep").exists()


def test_mistakes_of_matrix_are_lines(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("matrix/meshes.toml", "[meshes.1x8\n")
    here.write("matrix/floors.toml", "[[floor]]\n")
    code = main(["run"])

    assert code == 2
    assert capsys.readouterr().err.splitlines() == [
        (
            "meshsweep: matrix/meshes.toml: malformed TOML: "
            "Expected ']' at the end of a table declaration (at line 1, column 12)"
        ),
        "meshsweep: matrix/floors.toml [[floor]] 1 component: missing; expected a non-empty string",
        "meshsweep: matrix/floors.toml [[floor]] 1 dtype: missing; expected a non-empty string",
        (
            "meshsweep: matrix/floors.toml [[floor]] 1: bounds too little; expected all of pcc, max_error, rms_error, "
            "slope_error, or of top1, top5"
        ),
        (
            "meshsweep: matrix/floors.toml [[floor]] 1 measured_on: missing; "
            "expected on how many meshes, scales and samples, or a reason"
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--root", "{root}/none"],
            "{root}/none/matrix: no such directory; run this in a project with matrix/, or use --matrix",
        ),
        (["--matrix", "none"], "{root}/none: no such directory; run this in a project with matrix/, or use --matrix"),
    ],
)
def test_missing_matrix_says_where(
    here: Project, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    code = main(["run", *(argument.format(root=here.root) for argument in arguments)])

    assert (code, capsys.readouterr().err) == (2, f"meshsweep: {line.format(root=here.root)}\n")


def test_missing_suite_is_refused(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """pytest would warn, and run everything it finds."""
    (here.root / "tests/unit").rename(here.root / "tests/units")
    code = main(["run"])

    assert (code, capsys.readouterr().err) == (
        2,
        f"meshsweep: matrix/defaults.toml suite: tests/unit not found in {here.root}\n",
    )


def test_missing_suite_of_any_tier_is_refused(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    tiers = (here.root / "matrix/tiers.toml").read_text(encoding="utf-8")
    here.write("matrix/tiers.toml", tiers + 'suite = ["tests/unit", "tests/more"]\n')
    code = main(["run"])

    assert (code, capsys.readouterr().err) == (
        2,
        f"meshsweep: matrix/tiers.toml [tiers.nightly] suite: tests/more not found in {here.root}\n",
    )


def test_unknown_backend_is_refused(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("matrix/environments.toml", '[environments.fake]\nabout = "x"\nbackend = "ttn"\n')
    code = main(["run"])

    assert (code, capsys.readouterr().err) == (
        2,
        (
            "meshsweep: matrix/environments.toml: unknown backend 'ttn'; "
            "did you mean ttnn? choose from emulated, mock, simulated, ttnn\n"
        ),
    )


def test_file_in_place_of_home(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    here.write(".meshsweep", "")
    code = main(["run", "--mesh", "1x1"])

    assert code == 3
    assert capsys.readouterr().err.endswith(
        ": cannot make the run directory: Not a directory; choose another place with --home\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rum"], "invalid choice: 'rum' (choose from"),
        (["run", "--workers", "0"], "argument --workers: '0' is not a whole number of at least 1"),
        (["run", "--workers", "two"], "argument --workers: 'two' is not a whole number of at least 1"),
        (["run", "--seed", "-1"], "argument --seed: '-1' is not a whole number"),
        (["plan", "--ci", "gitlab"], "argument --ci: invalid choice: 'gitlab' (choose from"),
        (["report", "--verbose"], "unrecognized arguments: --verbose"),
    ],
)
def test_wrong_usage_is_code_two(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_ci_takes_no_pytest_options(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "--ci", "github", "-k", "router"])

    assert (code, capsys.readouterr().err) == (2, "meshsweep: --ci takes no pytest options: -k router\n")


def test_options_after_dashes_are_pytests(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "--ci", "github", "--", "--mesh", "1x9"])

    assert (code, capsys.readouterr().err) == (2, "meshsweep: --ci takes no pytest options: --mesh 1x9\n")


def test_ci_prints_json_only(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "--ci", "github", "--mesh", "1x1", "--mesh", "4x4", "--dtype", "bfloat16"])
    jobs = json.loads(capsys.readouterr().out)["matrix"]["include"]

    assert (code, [job["session"] for job in jobs]) == (0, ["mesh_1x1", "mesh_4x4"])


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert (caught.value.code, capsys.readouterr().out) == (0, f"meshsweep {__version__}\n")


@pytest.mark.parametrize("command", ["plan", "run", "report", "thresholds"])
def test_help_knows_every_command(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    overview = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert re.search(rf"^    {command}\s", overview, re.MULTILINE)
    assert capsys.readouterr().out.startswith(f"usage: meshsweep {command} ")


def test_report_repeats_the_verdict(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    store(here.root / ".meshsweep", "one", Log().collected("f.py::a").reported("f.py::a", "failed", "boom"))
    code = main(["report"])
    out = capsys.readouterr().out.splitlines()

    assert code == 1
    assert "failed f.py::a: boom" in out
    assert out[-1].startswith("failed: 1 planned: 1 failed; ")


def test_report_merges_and_misses(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    store(here.root / ".meshsweep", "one", green())
    expect = expectation(here.root / "jobs.json", CELL, OTHER)
    code = main(["report", "one", "--into", "merged", "--expect", str(expect), "--markdown"])
    out = capsys.readouterr().out

    assert code == 1
    assert out.strip() == (here.root / "merged/summary.md").read_text(encoding="utf-8").strip()
    assert f"- **{OTHER}: expected, but no run reported it**" in out


@pytest.mark.parametrize(("given", "shown"), [([], "{root}/.meshsweep/runs/latest"), (["nope"], "nope")])
def test_report_without_run_says_so(
    here: Project, capsys: pytest.CaptureFixture[str], given: list[str], shown: str
) -> None:
    code = main(["report", *given])

    assert (code, capsys.readouterr().err) == (
        2,
        (
            f"meshsweep: no run at {shown.format(root=here.root)}: "
            "expected a directory with events.jsonl, as `meshsweep run` leaves it\n"
        ),
    )


def test_infrastructure_is_code_three(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    store(here.root / ".meshsweep", "one", green())
    Path("merged").touch()
    code = main(["report", "--into", "merged"])

    assert (code, capsys.readouterr().err) == (3, "meshsweep: merged: cannot make the directory: File exists\n")


DESCRIPTOR = """
arch: {0: blackhole, 1: blackhole}
ethernet_connections: [[{chip: 0, chan: 4}, {chip: 1, chan: 4}]]
chips_with_mmio: [0: 0, 1: 1]
"""


@pytest.mark.parametrize(
    "asked", [["--machine", "cluster.yaml"], ["--machine", "detect", "--cluster-descriptor", "cluster.yaml"]]
)
def test_plan_for_described_host(here: Project, capsys: pytest.CaptureFixture[str], asked: list[str]) -> None:
    here.write("cluster.yaml", DESCRIPTOR)
    here.suite("def test_1(cell): pass\n")
    code = main(["plan", "--mesh", "1x2", "--dtype", "bfloat16", "--memory", "8", *asked])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "environment fake, machine detected (2 chips, 1x2), tier default",
        "2 cells, 2 tests, at most 1 worker, 8.0 GB of memory",
    ]


def test_run_on_described_host_uses_its_chips(project: Project) -> None:
    """The host is declared in no file: workers learn of it from the plan."""
    project.write("cluster.yaml", DESCRIPTOR)
    project.suite("def test_1(mesh_device): pass\n")
    done = project.meshsweep(
        "run", "--machine", "cluster.yaml", "--mesh", "1x2", "--dtype", "bfloat16", "--scale", "tiny"
    )

    assert done.code == 0, done.lines
    assert [line for line in project.devices() if line.startswith("open")] == ["open 1x2 on 0,1"]


def test_descriptor_is_for_detection(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "--machine", "t3k", "--cluster-descriptor", "cluster.yaml"])

    assert (code, capsys.readouterr().err) == (
        2,
        "meshsweep: --cluster-descriptor is read by --machine detect, not by --machine t3k\n",
    )


def test_detected_host_has_no_ci_labels(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("cluster.yaml", DESCRIPTOR)
    code = main(["plan", "--machine", "cluster.yaml", "--mesh", "1x2", "--ci", "github"])

    assert (code, capsys.readouterr().err) == (
        2,
        "meshsweep: machine 'detected' has no CI labels; name a machine of matrix/machines.toml\n",
    )


@pytest.mark.parametrize("amount", ["none", "0", "-1", "nan", "inf"])
def test_memory_is_a_number_of_gigabytes(here: Project, capsys: pytest.CaptureFixture[str], amount: str) -> None:
    with pytest.raises(SystemExit):
        main(["plan", f"--memory={amount}"])

    assert f"argument --memory: '{amount}' is not a number of gigabytes above 0" in capsys.readouterr().err

"""nox sessions made from a matrix."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from meshsweep import sessions
from meshsweep.errors import UserError
from meshsweep.matrix import Environment, Matrix

from .project import Done, Project

NOXFILE = """
    from meshsweep import declare_sessions

    declare_sessions(__file__)
"""


class Session:
    """nox's session: notes the commands that it is told to run."""

    def __init__(self, root: Path) -> None:
        self.cache_dir = root / ".nox/.cache"
        self.ran: list[list[str]] = []
        (root / ".nox/env_fake").mkdir(parents=True, exist_ok=True)

    def run(self, *command: str, **options: object) -> None:
        self.ran.append([word.rpartition("/")[2] if word.startswith("/") else word for word in command])

    def create_tmp(self) -> str:
        (self.cache_dir / "tmp").mkdir(parents=True, exist_ok=True)
        (self.cache_dir / "tmp/ttnn-1-py3-none-any.whl").touch()
        return str(self.cache_dir / "tmp")

    def debug(self, text: str) -> None:
        assert text == "environment fake stands: its pins have not changed"


class Bench:
    """A project whose environment is installed through a fake session."""

    def __init__(self, root: Path, **changes: object) -> None:
        self.project = Project(root)
        self.matrix = self.project.matrix()
        self.environment: Environment = replace(self.matrix.environments["fake"], **changes)
        self.project.write("pyproject.toml", "[project]\n")

    def install(self, *extras: str, session: Session | None = None) -> list[list[str]]:
        """Install, and return what was run."""
        session = session or Session(self.project.root)
        sessions._install(session, self.environment, self.project.root, self.matrix, extras=extras)
        return session.ran

    def pins(self, *extras: str) -> str:
        """Return the digest of the environment."""
        return sessions._pins(self.environment, self.project.root, self.matrix, extras)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def nox(project: Project, *arguments: str) -> Done:
    """Run nox in a project."""
    project.write("noxfile.py", NOXFILE)
    return project.call("-m", "nox", "--no-stop-on-first-error", *arguments)


def test_listing_explains_every_session(project: Project) -> None:
    done = nox(project, "-l")

    assert done.code == 0, done.lines
    assert re.findall(r"^[*-] (\S+)(?: \[\w+\])? -> (.+)$", done.out, re.MULTILINE) == [
        ("env_fake", "Install the environment fake: a ttnn.py beside the tests."),
        ("env_silicon", "Install the environment silicon: the real one."),
        ("mesh_1x1", "Run the suite on a 1x1 mesh."),
        ("mesh_1x2", "Run the suite on a 1x2 mesh."),
        ("mesh_1x8", "Run the suite on a 1x8 mesh."),
        ("mesh_4x4", "Run the suite on a 4x4 mesh."),
        ("sweep", "Run the suite on every mesh of a tier."),
        ("resume", "Run what the last run was kept from."),
        ("report", "Show the summary of the last run, or merge several."),
        ("thresholds", "Show what the last run measured beside the floors, or raise them."),
        *(
            (f"mesh_{mesh}_silicon", f"Run the suite on a {mesh} mesh in the environment silicon.")
            for mesh in ("1x1", "1x2", "1x8", "4x4")
        ),
        ("tests", "Run the tests."),
    ]


def test_other_environment_is_declared_too(project: Project) -> None:
    done = nox(project, "-l", "--", "--env", "silicon")

    assert "- env_silicon -> Install the environment silicon: the real one." in done.lines


def test_broken_matrix_ends_nox(project: Project) -> None:
    project.write("matrix/meshes.toml", "[meshes.1x8\n")
    done = nox(project, "-l")

    assert (done.code, done.lines) == (
        2,
        [
            (
                "meshsweep: matrix/meshes.toml: malformed TOML: "
                "Expected ']' at the end of a table declaration (at line 1, column 12)"
            )
        ],
    )


def test_unknown_environment_ends_nox(project: Project) -> None:
    done = nox(project, "-l", "--", "--env=silicone")

    assert (done.code, done.lines) == (
        2,
        [
            (
                "meshsweep: unknown environment 'silicone': not in matrix/environments.toml; "
                "did you mean silicon? choose from fake, silicon"
            )
        ],
    )


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["nox", "-s", "mesh_1x8"], "fake"),
        (["nox", "-s", "mesh_1x8", "--", "--env", "silicon", "-k", "x"], "silicon"),
        (["nox", "--", "--env=silicon"], "silicon"),
        (["nox", "--env", "silicon"], "fake"),
        (["nox", "--", "--env"], "fake"),
    ],
)
def test_environment_is_read_after_dashes(declared: Matrix, argv: list[str], name: str) -> None:
    assert sessions._environment(declared, argv).name == name


def test_unknown_environment_names_nearest(declared: Matrix) -> None:
    with pytest.raises(UserError, match=r"unknown environment 'fak': .* did you mean fake"):
        sessions._environment(declared, ["nox", "--", "--env", "fak"])


def test_first_install_takes_everything(bench: Bench) -> None:
    root = bench.project.root.name

    assert bench.install() == [
        f"python -m pip install --quiet --disable-pip-version-check -c pins.txt torch --editable {root}".split()
    ]


def test_standing_environment_is_left_alone(bench: Bench) -> None:
    bench.install()

    assert bench.install() == []


@pytest.mark.parametrize("changed", ["pyproject.toml", "matrix/pins.txt"])
def test_changed_pins_are_installed_anew(bench: Bench, changed: str) -> None:
    bench.install()
    bench.project.write(changed, "torch==2.14.0\n")

    assert len(bench.install()) == 1
    assert bench.install() == []


class Offline(Session):
    """A session whose commands fail."""

    def run(self, *command: str, **options: object) -> None:
        raise RuntimeError("no network")


def test_failed_install_is_tried_again(bench: Bench) -> None:
    with pytest.raises(RuntimeError):
        bench.install(session=Offline(bench.project.root))

    assert len(bench.install()) == 1


def test_extras_are_installed_on_top(bench: Bench) -> None:
    bench.install()
    ((*_, target),) = bench.install("dev")

    assert target == f"{bench.project.root.name}[dev]"
    assert bench.install("dev") == bench.install() == []


def test_stand_in_takes_the_name_last(tmp_path: Path) -> None:
    _, wheel, install = Bench(tmp_path, standin="ttemu").install()

    assert wheel == ["python", "-m", "ttemu", "wheel", "tmp"]
    assert install[-3:] == ["--no-deps", "--force-reinstall", "ttnn-1-py3-none-any.whl"]


def test_pins_ignore_everything_else(bench: Bench) -> None:
    before = bench.pins()
    bench.project.write("matrix/meshes.toml", "")
    bench.project.write("src/module.py", "")
    bench.project.write("README.md", "")

    assert bench.pins() == before


@pytest.mark.parametrize("changes", [{"requirements": ("torch==1",)}, {"python": ("3.12",)}, {"standin": "ttemu"}])
def test_pins_follow_the_environment(tmp_path: Path, changes: dict[str, object]) -> None:
    assert Bench(tmp_path, **changes).pins() != Bench(tmp_path).pins()


def test_pins_differ_between_extras(bench: Bench) -> None:
    assert bench.pins("dev") != bench.pins()


@pytest.mark.parametrize(
    ("python", "found"), [((), None), (("3.99", "3.98"), "3.99"), (("3.99", "3.0-here"), "python3.0-here")]
)
def test_first_python_at_hand_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: tuple[str, ...], found: str | None
) -> None:
    interpreter = tmp_path / "python3.0-here"
    interpreter.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    chosen = sessions._python(Bench(tmp_path, python=python).environment)

    assert (chosen and Path(chosen).name) == found


def test_python_of_pyenv_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shim of pyenv stands on the PATH and refuses; the interpreter itself is elsewhere."""
    inside = tmp_path / "versions/3.77.1/bin/python3.77"
    for path, code in ((tmp_path / "python3.77", 127), (inside, 0)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    assert sessions._python(Bench(tmp_path, python=("3.77",)).environment) == str(inside)

"""nox sessions made from a matrix: the public door for a project's noxfile.

::

    # noxfile.py
    from meshsweep import declare_sessions

    declare_sessions(__file__)

Needs nothing beyond nox and the standard library, since a noxfile runs before anything
is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshsweep import loader
from meshsweep.errors import UserError, nearest
from meshsweep.matrix import Environment, Matrix, SessionSpec

if TYPE_CHECKING:
    import nox

__all__ = ["declare_sessions", "find_python"]

#: nox gives an interrupted command 0.3 s; a run needs longer to write down what it has.
_PATIENCE: dict[str, Any] = {"interrupt_timeout": 60.0, "terminate_timeout": 30.0}

_STAMP = "meshsweep-pins.txt"


def declare_sessions(noxfile: str | Path, *, argv: Sequence[str] | None = None) -> None:
    """Declare ``mesh_<shape>``, ``sweep``, ``resume``, ``report``, ``thresholds`` and the project's own sessions.

    ``noxfile`` is the path of the calling noxfile: ``matrix/`` is looked for beside it.
    ``argv`` is nox's command line, read for ``--env`` after ``--``. A mistake in the
    matrix or an unknown environment ends nox with one line each and exit code 2.
    """
    root = Path(noxfile).resolve().parent
    try:
        matrix = loader.load(root / "matrix")
        chosen = _environment(matrix, sys.argv if argv is None else argv)
    except UserError as error:
        print("\n".join(f"meshsweep: {line}" for line in str(error).splitlines()), file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    _Declaration(root, matrix, chosen).declare()


def _environment(matrix: Matrix, argv: Sequence[str]) -> Environment:
    """Return the environment named by ``--env`` among nox's trailing arguments."""
    trailing = list(argv[argv.index("--") + 1 :]) if "--" in argv else []
    name = matrix.defaults.environment
    for index, argument in enumerate(trailing):
        if argument.startswith("--env="):
            name = argument.removeprefix("--env=")
        elif argument == "--env" and index + 1 < len(trailing):
            name = trailing[index + 1]
    if name not in matrix.environments:
        raise UserError(
            f"unknown environment {name!r}: not in {matrix.root.name}/environments.toml"
            f"{nearest(name, matrix.environments)}"
        )
    return matrix.environments[name]


class _Declaration:
    """The sessions of one matrix."""

    def __init__(self, root: Path, matrix: Matrix, chosen: Environment) -> None:
        self._root = root
        self._matrix = matrix
        self._chosen = chosen

    def declare(self) -> None:
        for environment in self._matrix.environments.values():
            self._declare_environment(environment)
        for mesh in self._matrix.meshes:
            self._declare(f"mesh_{mesh}", ["run", "--mesh", mesh], f"Run the suite on a {mesh} mesh.", ["mesh"])
        self._declare("sweep", ["run"], "Run the suite on every mesh of a tier.")
        self._declare("resume", ["resume"], "Run what the last run was kept from.")
        self._declare("report", ["report"], "Show the summary of the last run, or merge several.")
        self._declare("thresholds", ["thresholds"], "Show what the last run measured beside the floors, or raise them.")
        for environment in self._matrix.environments.values():
            if environment.name != self._matrix.defaults.environment:
                self._declare_elsewhere(environment)
        for spec in self._matrix.sessions.values():
            self._declare_own(spec)

    def _declare_environment(self, environment: Environment) -> None:
        import nox

        def install(session: nox.Session) -> None:
            _install(session, environment, self._root, self._matrix, extras=())

        install.__doc__ = f"Install the environment {environment.name}: {environment.about}."
        python = _python(environment)
        nox.session(name=_env_session(environment.name), python=python, reuse_venv=True, default=False)(install)

    def _declare_elsewhere(self, environment: Environment) -> None:
        """Declare ``mesh_<shape>_<environment>``: the same runs without naming ``--env``."""
        for mesh in self._matrix.meshes:
            command = ["run", "--env", environment.name, "--mesh", mesh]
            text = f"Run the suite on a {mesh} mesh in the environment {environment.name}."
            name, tags = f"mesh_{mesh}_{environment.name}", [f"mesh_{environment.name}"]
            self._declare(name, command, text, tags, environment=environment)

    def _declare(
        self,
        name: str,
        command: list[str],
        text: str,
        tags: Sequence[str] = (),
        *,
        environment: Environment | None = None,
    ) -> None:
        where = environment or self._chosen

        def run(session: nox.Session) -> None:
            bin_dir = _bin(session, where.name)
            session.run(str(bin_dir / "meshsweep"), *command, *session.posargs, external=True, **_PATIENCE)

        _session(name, run, text, requires=where.name, default=False, tags=tags)

    def _declare_own(self, spec: SessionSpec) -> None:
        environment = self._matrix.environments[spec.environment]

        def run(session: nox.Session) -> None:
            bin_dir = _bin(session, spec.environment)
            if spec.extras:
                _install(session, environment, self._root, self._matrix, extras=spec.extras)
            *before, last = spec.commands
            for command in before:
                session.run(str(bin_dir / command[0]), *command[1:], external=True, **_PATIENCE)
            session.run(str(bin_dir / last[0]), *last[1:], *session.posargs, external=True, **_PATIENCE)

        _session(spec.name, run, spec.about, requires=spec.environment, default=spec.default)


def _session(
    name: str,
    function: Callable[[Any], None],
    text: str,
    *,
    requires: str,
    default: bool,
    tags: Sequence[str] = (),
) -> None:
    import nox

    function.__doc__ = text
    # The environment's own session holds the virtual environment that all of them share.
    nox.session(name=name, venv_backend="none", requires=[_env_session(requires)], default=default, tags=list(tags))(
        function
    )


def _env_session(name: str) -> str:
    return f"env_{name}"


def _python(environment: Environment) -> str | None:
    """Return the first declared Python that can be found, or the first for nox to refuse by name."""
    if not environment.python:
        return None
    found = (path for version in environment.python if (path := find_python(version)))
    return next(found, environment.python[0])


# Every noxfile asks this for each environment, and an answer costs starting a Python.
@cache
def find_python(version: str) -> str | None:
    """Return a working Python of a version: on the PATH, or among pyenv's own.

    pyenv puts a program of every version on the PATH, which refuses to run unless that
    version is active; nox would take it for the real one.
    """
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    named = shutil.which(f"python{version}")
    inside = sorted(home.glob(f"versions/{version}.*/bin/python{version}"))
    candidates = [named] * (named is not None) + [str(path) for path in reversed(inside)]
    return next((path for path in candidates if path and _answers(path)), None)


def _answers(python: str) -> bool:
    try:
        return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _bin(session: nox.Session, environment: str) -> Path:
    directory = _envdir(session, environment)
    return directory / ("Scripts" if sys.platform == "win32" else "bin")


def _envdir(session: nox.Session, environment: str) -> Path:
    # nox keeps its cache inside the directory of all its environments.
    return Path(session.cache_dir).parent / _env_session(environment)


def _install(
    session: nox.Session, environment: Environment, root: Path, matrix: Matrix, *, extras: Sequence[str]
) -> None:
    """Install an environment, or nothing where its pins stand since the last time."""
    python = _bin(session, environment.name) / "python"
    stamp = _envdir(session, environment.name) / "-".join([*extras, _STAMP])
    pins = _pins(environment, root, matrix, extras)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == pins:
        session.debug(f"environment {environment.name} stands: its pins have not changed")
        return
    project = f"{root}[{','.join(extras)}]" if extras else str(root)
    constraints = ["-c", str(matrix.root / environment.constraints)] if environment.constraints else []
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints]
    session.run(*pip, *environment.requirements, "--editable", project, external=True, **_PATIENCE)
    if environment.standin and not extras:
        _install_standin(session, python, environment.standin, pip)
    stamp.write_text(pins, encoding="utf-8")


def _install_standin(session: nox.Session, python: Path, module: str, pip: list[str]) -> None:
    directory = session.create_tmp()
    session.run(str(python), "-m", module, "wheel", directory, external=True, silent=True)
    wheels = [str(path) for path in Path(directory).glob("*.whl")]
    session.run(*pip, "--no-deps", "--force-reinstall", *wheels, external=True)


def _pins(environment: Environment, root: Path, matrix: Matrix, extras: Sequence[str]) -> str:
    """Return a digest of everything that an installation depends on."""
    files = [root / "pyproject.toml"]
    if environment.constraints:
        files.append(matrix.root / environment.constraints)
    digest = hashlib.sha256(repr((environment, tuple(extras))).encode())
    for path in files:
        # A missing pyproject.toml is for pip to refuse, in its own words.
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()

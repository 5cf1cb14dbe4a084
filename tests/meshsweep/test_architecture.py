"""What may import what, and what every module shows."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .project import environment

SRC = Path(__file__).parents[2] / "src"
OURS = {"meshsweep", "ttemu", "gptoss"}

#: What each package may import beyond the standard library and itself.
ALLOWED = {
    "meshsweep": {"execnet", "junitparser", "nox", "pytest", "rich", "tomli", "tt_umd", "ttnn", "xdist", "yaml"},
    "ttemu": {"numpy", "torch"},
    "gptoss": {"loguru", "torch", "ttnn"},
}

MODULES = sorted(SRC.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Yield the first part of every imported name, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def public(path: Path) -> set[str]:
    """Return the names without an underscore that a module, or a package in its modules, defines."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and path.name == "__init__.py":
            # A package also shows what its own modules define.
            is_own = str(node.module).startswith(f"{name_of(path)}.")
            found |= {alias.name for alias in node.names if is_own}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_package_imports_what_it_may(path: Path) -> None:
    package = path.relative_to(SRC).parts[0]
    allowed = ALLOWED[package] | {package, "__future__"} | sys.stdlib_module_names

    assert set(imports(path)) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_opens_with_its_point(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))


def names_of_meshsweep() -> list[Path]:
    """Return the modules whose names people import: pytest reads the plugin's, `python -m` the main's."""
    return [
        path for path in MODULES if name_of(path).startswith("meshsweep") and path.stem not in ("plugin", "__main__")
    ]


@pytest.mark.parametrize("path", names_of_meshsweep(), ids=name_of)
def test_all_is_what_is_public(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    listed = set(module.__all__)

    assert all(hasattr(module, name) for name in listed)
    if name_of(path) != "meshsweep":  # it opens its doors late, in __getattr__
        assert listed == public(path)


def test_unknown_name_of_package_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'meshsweep' has no attribute 'nothing'"):
        importlib.import_module("meshsweep").nothing  # noqa: B018


BARE = """
    import sys

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            first = name.partition(".")[0]
            if first in sys.stdlib_module_names or first in ("meshsweep", "nox"):
                return None
            raise ImportError(f"a bare Python has no {first}")

    sys.meta_path.insert(0, Refuse())
    sys.path.insert(0, sys.argv[1])
    import meshsweep.sessions
    from meshsweep import declare_sessions
    assert "nox" not in sys.modules
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 needs tomli, which nox brings along")
def test_noxfile_needs_nox_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", "\n".join(line.removeprefix("    ") for line in BARE.splitlines()), str(SRC)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_controller_needs_no_torch() -> None:
    """xdist's controller and `meshsweep plan` must not pay seconds for a tensor library."""
    code = "import sys, meshsweep.plugin, meshsweep.control.controller, meshsweep.cli, meshsweep.runner\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(sorted({{'torch', 'ttnn', 'ttemu', 'numpy'}} & set(sys.modules)))"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "[]\n", done.stderr

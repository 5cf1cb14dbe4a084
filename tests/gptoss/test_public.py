"""What each module of the model offers, and what it may import."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import gptoss

ROOT = Path(gptoss.__file__).parent
FILES = sorted(file for file in ROOT.rglob("*.py") if file.stem != "__init__")
ALLOWED = {"torch", "ttnn", "loguru", "gptoss", *sys.stdlib_module_names}


def name_of(file):
    """Return the dotted name of a module."""
    return ".".join(("gptoss", *file.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_all_lists_what_is_public(file):
    module = importlib.import_module(name_of(file))
    defined = {
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }

    assert defined <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_stay_within_bounds(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])

    assert found <= ALLOWED


def test_reference_imports_nothing_of_the_model():
    source = (ROOT / "reference.py").read_text()
    names = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}

    # Sizes are data; everything else the reference works out for itself.
    assert {name for name in names if name.startswith("gptoss")} == {"gptoss.config"}

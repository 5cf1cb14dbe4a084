"""What each module of the model offers, and what it may import."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import gptoss

FILES = sorted(file for file in Path(gptoss.__file__).parent.glob("*.py") if file.stem != "__init__")
ALLOWED = {"torch", "ttnn", "loguru", "gptoss", *sys.stdlib_module_names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_all_lists_what_is_public(file):
    module = importlib.import_module(f"gptoss.{file.stem}")
    defined = {
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }

    assert defined <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_stay_within_bounds(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])

    assert found <= ALLOWED


def test_reference_imports_nothing_of_the_model():
    source = (FILES[0].parent / "reference.py").read_text()
    names = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}

    # Sizes are data; everything else the reference works out for itself.
    assert {name for name in names if name.startswith("gptoss")} == {"gptoss.config"}

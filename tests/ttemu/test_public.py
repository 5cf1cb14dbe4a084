"""The public surface is what __all__ says; what ttnn has besides says that it is not emulated."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest
import torch

import ttemu as ttnn
from ttemu.names import KNOWN

ROOT = Path(str(ttnn.__file__)).parent
MODULES = sorted(item.name for item in pkgutil.walk_packages([str(ROOT)], "ttemu."))
#: Modules that hold no op, but what ops are made of.
MACHINERY = {f"ttemu.ops.{name}" for name in ("binary", "blocks", "mapped", "operands", "product")}
MACHINERY |= {"ttemu.attention.formula", "ttemu.attention.inputs", "ttemu.collectives.movement"}
#: What a module of ops offers to other modules; the first is behind ``x[...]``.
HELPERS = {
    "ttemu.ops.slicing": {"getitem", "take"},
    "ttemu.ops.index": {"rows_of"},
    "ttemu.attention.cache": {"need_index", "put", "writable"},
    "ttemu.attention.decode": {
        *(
            "Call",
            "attend",
            "check_devices",
            "check_grid",
            "check_heads",
            "check_inputs",
            "held_positions",
            "read_mask",
        ),
    },
    "ttemu.attention.prefill": {"unpage"},
    "ttemu.collectives.ccl": {
        *("check_divides", "ends_in_tile", "goes_by_tiles", "mesh_of"),
        *("run_all_gather", "run_reduce_scatter", "set_accumulation"),
    },
}
SOURCES = sorted(ROOT.rglob("*.py"))
#: They hold modules only.
FOLDERS = {"ttemu.attention", "ttemu.collectives", "ttemu.ops"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - FOLDERS - {"ttemu.__main__"}))
def test_all_names_what_a_module_defines(name: str) -> None:
    module = importlib.import_module(name)

    assert len(set(module.__all__)) == len(module.__all__)
    assert [item for item in module.__all__ if not hasattr(module, item)] == []


def test_every_op_of_every_module_is_public() -> None:
    offered = {*ttnn.__all__, *ttnn.transformer.__all__, *ttnn.experimental.__all__}
    hidden: dict[str, set[str]] = {}
    for name in MODULES:
        if name == "ttemu.convert" or (name.rpartition(".")[0] in FOLDERS and name not in MACHINERY):
            rest = set(importlib.import_module(name).__all__) - offered
            hidden |= {name: rest} if rest else {}

    assert hidden == HELPERS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_emulator_imports_torch_and_the_standard_library_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    roots = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    roots |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert roots - set(sys.stdlib_module_names) <= {"torch", "numpy", "ttemu"}


@pytest.mark.parametrize("module", KNOWN)
def test_names_that_are_emulated_are_not_listed_as_missing(module: str) -> None:
    emulated = functools.reduce(getattr, module.split(".")[1:], ttnn)

    assert KNOWN[module] & set(emulated.__all__) == set()
    assert all(callable(getattr(emulated, name)) for name in KNOWN[module])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ttnn.conv2d(1, weight=2), "ttnn.conv2d"),
        (lambda: ttnn.moe(1), "ttnn.moe"),
        (ttnn.generic_op, "ttnn.generic_op"),
        (ttnn.experimental.moe_gpt, "ttnn.experimental.moe_gpt"),
        (ttnn.transformer.concatenate_heads, "ttnn.transformer.concatenate_heads"),
        (ttnn.SocketConfig, "ttnn.SocketConfig"),
    ],
)
def test_op_that_is_not_emulated_names_itself(call: object, name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"^{name} is not emulated; run it with the real ttnn$"):
        call()


def test_class_that_is_not_emulated_serves_in_annotations() -> None:
    assert ttnn.SocketConfig | None


@pytest.mark.parametrize("module", [ttnn, ttnn.experimental, ttnn.transformer])
def test_name_that_ttnn_lacks_is_an_attribute_error(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'all_redcue'"):
        module.all_redcue  # noqa: B018 - the look-up is the test


def test_every_public_function_and_class_has_a_docstring() -> None:
    missing = [
        f"{name}.{item}"
        for name in MODULES
        for item in getattr(importlib.import_module(name), "__all__", [])
        if (inspect.isfunction(value := getattr(importlib.import_module(name), item)) or inspect.isclass(value))
        and not value.__doc__
    ]

    assert missing == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, [1]), ({"TTEMU_THREADS": "2", "OMP_NUM_THREADS": "4"}, [2]), ({"OMP_NUM_THREADS": "2"}, [])],
)
def test_import_computes_on_one_thread_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: list[int]
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    ttnn._limit_threads(environment)

    assert asked == expected

"""How an environment reaches its devices."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from meshsweep import backends
from meshsweep.backends.mock import MockBackend
from meshsweep.backends.ttnn import TtnnBackend
from meshsweep.errors import SelectionError, UserError
from meshsweep.matrix import Environment, Matrix
from meshsweep.planning.slots import Slot

from .project import Project

SLOT = Slot(name="galaxy.1", machine="galaxy", chips=(8, 9))


def environment(backend: str, **changes: object) -> Environment:
    """Return an environment with a backend."""
    fields: dict[str, object] = {
        "name": "here",
        "about": "x",
        "backend": backend,
        "python": (),
        "requirements": (),
        "constraints": None,
        "standin": None,
        "arch": "wormhole_b0",
        "values": True,
    }
    return Environment(**{**fields, **changes})


def hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear what slots set, now and after the test."""
    for name in ("TT_VISIBLE_DEVICES", "TT_METAL_CACHE", "TT_MESH_GRAPH_DESC_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(SelectionError) as caught:
        backends.get(environment("emulate"))

    assert str(caught.value) == (
        "matrix/environments.toml: unknown backend 'emulate'; did you mean emulated or simulated? "
        "choose from emulated, mock, simulated, ttnn"
    )


@pytest.mark.parametrize("name", ["emulated", "mock", "ttnn"])
def test_declared_backends_can_be_had(name: str) -> None:
    assert isinstance(backends.get(environment(name)), TtnnBackend)


def test_slot_shows_its_chips_only(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_nothing(monkeypatch)
    backend = TtnnBackend(environment("ttnn"))
    backend.activate(Slot(name="virtual.0", machine="virtual", chips=()), [])
    backend.activate(None, [])

    assert "TT_VISIBLE_DEVICES" not in os.environ
    backend.activate(SLOT, [])
    assert os.environ["TT_VISIBLE_DEVICES"] == "8,9"


def test_fabric_is_set_before_opening(project: Project, monkeypatch: pytest.MonkeyPatch, declared: Matrix) -> None:
    spec = spec_from_file_location("ttnn", project.root / "ttnn.py")
    assert spec is not None
    assert spec.loader is not None
    standin = module_from_spec(spec)
    spec.loader.exec_module(standin)
    monkeypatch.setitem(sys.modules, "ttnn", standin)
    hide_nothing(monkeypatch)
    backend = TtnnBackend(environment("ttnn"))
    for mesh in ("1x8", "1x1"):
        backend.close(backend.open(declared.meshes[mesh]))

    assert project.devices() == [
        "fabric FABRIC_1D",
        "open 1x8 on anything",
        "close",
        "fabric DISABLED",
        "open 1x1 on anything",
        "close",
        "fabric DISABLED",
    ]


EMULATED = """
    import os, sys
    from meshsweep.backends.emulated import EmulatedBackend
    from meshsweep.planning.slots import Slot

    os.environ["TT_VISIBLE_DEVICES"] = "0"
    backend = EmulatedBackend(None)
    backend.activate(Slot(name="galaxy.0", machine="galaxy", chips=(0, 1)), [])
    backend.activate(None, [])
    before = "ttemu" in sys.modules
    import ttnn
    print(before, ttnn.mark, os.environ["TTEMU_MACHINE"], "TT_VISIBLE_DEVICES" in os.environ)
    print(os.environ["THP_MEM_ALLOC_ENABLE"], "torch" in sys.modules)
"""


def test_emulator_loads_on_first_import(tmp_path: Path) -> None:
    """A stand-in for the emulator: the real one is another package's to test."""
    project = Project(tmp_path)
    project.write("ttnn.py", "mark = 'the real one'")
    project.write(
        "ttemu.py",
        """
        import sys
        mark = "the emulator"
        def install():
            sys.modules["ttnn"] = sys.modules["ttemu"]
        """,
    )
    project.write("script.py", EMULATED)
    done = project.call("script.py")

    assert (done.out, done.err) == ("False the emulator galaxy False\n1 False\n", "")


@pytest.mark.parametrize(("meshes", "chips"), [(["1x8"], 8), (["1x1", "1x8"], 32)])
def test_mock_cluster_holds_the_meshes(package: Path, declared: Matrix, meshes: list[str], chips: int) -> None:
    backend = MockBackend(environment("mock", name="mock"))
    backend.activate(SLOT, [declared.meshes[mesh] for mesh in meshes])
    description = Path(os.environ["TT_METAL_MOCK_CLUSTER_DESC_PATH"])

    assert description.read_text(encoding="utf-8").count(": wormhole_b0") == chips
    assert os.environ["TT_METAL_LOGS_PATH"] == str(description.parent)
    assert re.search(r"/cache/meshsweep/mock/[^/]+/galaxy-8-9/kernels$", os.environ["TT_METAL_CACHE"])


def test_silicon_refuses_the_null_compiler(package: Path, declared: Matrix) -> None:
    MockBackend(environment("mock")).activate(SLOT, [declared.meshes["1x8"]])

    with pytest.raises(UserError, match=r"the null compiler of a mock run stands in .*; remove it"):
        TtnnBackend(environment("ttnn")).activate(SLOT, [])

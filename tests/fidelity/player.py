"""Make calls in a process of their own: ``python -m tests.fidelity.player LIBRARY MESH CALLS OUTCOMES FIRST``.

CALLS is a JSON list. A call's number is appended to OUTCOMES before it is made and its outcome behind it, so that
whoever started this process can tell which call it died in, and start another one behind that.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.fidelity.language import names
from tests.fidelity.outcome import outcome

__all__ = ["MACHINES", "REAL", "describe_cluster", "open_mesh", "set_fabric"]

REAL = "ttnn"
#: The machine that a mesh is opened on: its name for the emulator, its grid of chips for the real library.
MACHINES = {"1x1": ("n150", (1, 1)), "1x8": ("t3k", (2, 4)), "2x4": ("t3k", (2, 4)), "4x8": ("galaxy", (8, 4))}


def main() -> None:
    """Make the calls from number FIRST on."""
    library, mesh, calls, outcomes, first = sys.argv[1:]
    os.environ["TTEMU_MACHINE"] = MACHINES[mesh][0]
    if library == REAL:
        describe_cluster(mesh, Path(outcomes).parent)
    ttnn = importlib.import_module(library)
    known = names(ttnn, open_mesh(ttnn, mesh))
    with Path(outcomes).open("a", encoding="utf-8") as out:
        for number, call in enumerate(json.loads(Path(calls).read_text(encoding="utf-8"))):
            if number >= int(first):
                print(number, end=" ", file=out, flush=True)
                print(json.dumps(outcome(ttnn, known, call)), file=out, flush=True)
    os._exit(0)  # a mesh with live tensors aborts on its way out


def describe_cluster(mesh: str, scratch: Path) -> None:
    """Set the environment so that the real library finds the machine of a mesh described, in the folder ``scratch``."""
    from meshsweep.backends import cluster, toolchain
    from meshsweep.shape import MeshShape

    toolchain.install()
    rows, cols = MACHINES[mesh][1]
    description = scratch / "cluster.yaml"
    description.write_text(cluster.describe(MeshShape(rows=rows, cols=cols)), encoding="utf-8")
    os.environ["TT_METAL_MOCK_CLUSTER_DESC_PATH"] = str(description)
    os.environ["TT_METAL_LOGS_PATH"] = str(scratch)
    os.environ.setdefault("TT_METAL_LOGGER_LEVEL", "fatal")
    # Releases do not share the kernels that they build.
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TT_METAL_CACHE", str(home / "meshsweep" / f"fidelity-{version('ttnn')}"))


def set_fabric(ttnn: ModuleType, mesh: str) -> None:
    """Give a mesh of more than one device its fabric."""
    if mesh != "1x1":
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)


def open_mesh(ttnn: ModuleType, mesh: str) -> Any:
    """Open a mesh such as ``1x8`` with its fabric."""
    rows, cols = map(int, mesh.split("x"))
    set_fabric(ttnn, mesh)
    dispatch = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, ttnn.DispatchCoreAxis.ROW)
    return ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(rows, cols), dispatch_core_config=dispatch)


if __name__ == "__main__":
    main()

"""Record what the real ttnn answers to the calls of calls.txt.

Run ``python -m tests.ttemu.record`` where the real ttnn is installed, on a mock T3K cluster or a real T3K. A call that
kills the process is recorded as a crash by running the module again: it goes on behind the call that it died in.
"""

from __future__ import annotations

import json
import os

from tests.ttemu.conformance import RECORDED, calls, namespace, outcome


def main() -> None:
    """Record every call that has no outcome yet."""
    import ttnn

    ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    dispatch = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, ttnn.DispatchCoreAxis.ROW)
    names = namespace(ttnn, ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(1, 8), dispatch_core_config=dispatch))
    known = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    for call in calls():
        if call not in known:
            _write(known | {call: {"error": "crash"}})
            known[call] = outcome(ttnn, names, call)
            _write(known)
    print(f"{len(known)} calls recorded with ttnn {ttnn.__version__ if hasattr(ttnn, '__version__') else ''}")  # noqa: T201 - a command's answer
    os._exit(0)  # a mesh with live tensors aborts on its way out


def _write(known: dict[str, object]) -> None:
    ordered = {call: known[call] for call in calls() if call in known}
    lines = ",\n".join(f"{json.dumps(call)}: {json.dumps(result)}" for call, result in ordered.items())
    RECORDED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

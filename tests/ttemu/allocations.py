"""Play lines of code that allocate and free device memory, and say after each what is allocated where.

Works with whatever module is handed in. ``python -m tests.ttemu.allocations MACHINE ROWS COLS`` records what the real
ttnn answers to the lines of allocations.txt, where it is installed, on a mock cluster of that machine.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

LINES = Path(__file__).parent / "allocations.txt"
RECORDED = Path(__file__).parent / "allocations.json"


def lines() -> list[str]:
    """Return the lines to play."""
    text = LINES.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def play(ttnn: ModuleType, mesh: Any, line: str, names: dict[str, Any]) -> str:
    """Run one line; return bytes allocated per bank in DRAM and L1 and the new tensor's address, or the refusal."""
    try:
        exec(line, names)
    except RuntimeError as error:
        found = [part for part in str(error).splitlines() if "Not enough space" in part or "L1_SMALL only" in part]
        return found[0].strip().removesuffix(", see validate_num_banks")
    kinds = (ttnn.BufferType.DRAM, ttnn.BufferType.L1)
    used = [ttnn.get_memory_view(mesh, kind).total_bytes_allocated_per_bank for kind in kinds]
    name, equals, _ = line.partition(" = ")
    return f"{used[0]} {used[1]}" + (f" at {names[name].buffer_address()}" if equals else "")


def namespace(ttnn: ModuleType, mesh: Any) -> dict[str, Any]:
    """Return the short names that the lines are written in."""

    def allocate(*shape: int, dt: Any = ttnn.bfloat16, la: Any = ttnn.TILE_LAYOUT, mc: Any = None) -> Any:
        return ttnn.allocate_tensor_on_device(ttnn.Shape(shape), dt, la, mesh, mc or ttnn.DRAM_MEMORY_CONFIG)

    def sharded(way: str, cols: int, rows: int, shape: tuple[int, int], kind: str = "L1") -> Any:
        last = ttnn.CoreCoord(cols - 1, rows - 1)
        grid = ttnn.CoreRangeSet([ttnn.CoreRange(ttnn.CoreCoord(0, 0), last)])
        spec = ttnn.ShardSpec(grid, shape, ttnn.ShardOrientation.ROW_MAJOR)
        layout = getattr(ttnn.TensorMemoryLayout, f"{way}_SHARDED")
        return ttnn.MemoryConfig(layout, getattr(ttnn.BufferType, kind), spec)

    def uploaded(*shape: int) -> Any:
        mapper = ttnn.ReplicateTensorToMesh(mesh)
        return ttnn.from_torch(torch.zeros(shape).bfloat16(), layout=ROW, device=mesh, mesh_mapper=mapper)

    ROW = ttnn.ROW_MAJOR_LAYOUT
    small = ttnn.MemoryConfig(ttnn.TensorMemoryLayout.INTERLEAVED, ttnn.BufferType.L1_SMALL)
    return {"ttnn": ttnn, "T": allocate, "S": sharded, "U": uploaded, "RM": ROW, "SMALL": small} | {
        "L1": ttnn.L1_MEMORY_CONFIG,
        "F32": ttnn.float32,
        "B8": ttnn.bfloat8_b,
        "B4": ttnn.bfloat4_b,
        "U8": ttnn.uint8,
    }


def main() -> None:
    """Record what the real library answers to every line."""
    import ttnn

    machine, rows, cols = sys.argv[1:]
    options = {}
    # Blackhole refuses row dispatch.
    if not machine.startswith(("p150", "p300", "bh")):
        row = ttnn.DispatchCoreAxis.ROW
        options["dispatch_core_config"] = ttnn.DispatchCoreConfig(ttnn.DispatchCoreType.WORKER, row)
    if (rows, cols) != ("1", "1"):
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    mesh = ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(int(rows), int(cols)), **options)
    names = namespace(ttnn, mesh)
    known = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    known[machine] = [play(ttnn, mesh, line, names) for line in lines()]
    RECORDED.write_text(json.dumps(known, indent=0) + "\n", encoding="utf-8")
    os._exit(0)  # a mesh with live tensors aborts on its way out


if __name__ == "__main__":
    main()

"""Small pieces of the emulator: packing bfloat8_b, opening a mesh, importing.

The rival in packing is a plain torch version of the same rule, written here; where the real ttnn can be imported, its
own host code is one more. An empty mesh has no rival to be compared with but the importing of torch, which every
process with a mesh pays for; the same holds for importing the emulator.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.pairs import Comparison, compare, compare_inside, in_turn

__all__ = ["run"]

ELEMENTS = 1 << 24
_TORCH = "import torch"
_EMULATOR = "import torch, ttemu"
_OPENED = (
    "import torch, ttemu as ttnn; ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D); "
    "ttnn.close_mesh_device(ttnn.open_mesh_device(ttnn.MeshShape(4, 8)))"
)


def run(root: Path, *, pairs: int) -> list[Comparison]:
    """Compare packing with its rivals, and processes that import and open with ones that import torch."""
    python = [sys.executable, "-c"]
    processes = [
        compare(name, [*python, code], _TORCH, [*python, _TORCH], root=root, pairs=pairs, bound=1.25)
        for name, code in ((_EMULATOR, _EMULATOR), ("the same and a 4x8 mesh", _OPENED))
    ]
    rivals = ["plain torch", *(["ttnn"] if importlib.util.find_spec("ttnn") else [])]
    return [_packing(root, rival, pairs) for rival in rivals] + processes


def _packing(root: Path, rival: str, pairs: int) -> Comparison:
    command = [sys.executable, "-m", __name__, rival, str(pairs)]
    found = compare_inside("packing bfloat8_b", rival, command, root=root, bound=1.0)
    speed = ELEMENTS / min(cost.cpu_s for cost in found.ours) / 1e6
    return replace(found, name=f"{found.name} (at best {speed:.0f} M elements a CPU second)")


def main() -> None:
    """Pack the same numbers with the emulator and with a rival, in turn, and print seconds as JSON."""
    import torch

    import ttemu

    torch.set_num_threads(1)
    rival, pairs = sys.argv[1], int(sys.argv[2])
    values = torch.randn(ELEMENTS // 4096, 4096, generator=torch.Generator().manual_seed(0))
    theirs = pack if rival == "plain torch" else _real_packer()

    def ours() -> object:
        return ttemu.from_torch(values, dtype=ttemu.bfloat8_b)

    print(in_turn(ours, lambda: theirs(values), pairs=pairs))


def pack(values: object) -> object:
    """Return what bfloat8_b makes of finite, normal float32 numbers: whole-tensor torch, one step after another."""
    import torch

    blocks = values.reshape(-1, 16)
    exponent = blocks.abs().amax(-1, keepdim=True).frexp().exponent
    unit = torch.ldexp(torch.ones(1), exponent - 7)
    # Cut to 24 bits of the largest element's scale, then half to even to 7.
    cut = (blocks / unit * 2.0**17).trunc() / 2.0**17
    return (cut.round().clamp(-127, 127) * unit).bfloat16().reshape(values.shape)


def _real_packer() -> Callable[[object], object]:
    import ttnn

    return lambda values: ttnn.from_torch(values, dtype=ttnn.bfloat8_b)


if __name__ == "__main__":
    main()

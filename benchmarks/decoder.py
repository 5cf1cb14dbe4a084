"""One decoder layer at gpt-oss-20b's widths, 32 tokens of prompt in bfloat16, emulated on 1x8 and 4x8.

The rival in time is ``gptoss.reference``: the same layer in float32 torch, on one thread as ours is, with unsharded
float32 weights that stay in memory and plain loops over tokens and kv heads. It is no easy rival: it gives an expert
only the tokens that chose it, 32 tokens x 4 experts = 128 pairs, where the model does as the hardware does in tiles of
32 rows and gives all 32 tokens to all 32 experts, 1024 pairs. So ours does eight times the arithmetic of the largest
part, 51 GFLOP, and can only save on reading, half the bytes, and by the processor's dot products of bfloat16. Where it
has them, the same without them stands beside: in float32 the bound is out of reach.

The rival in memory is a number: the bytes of the unsharded weights as bfloat16. Against it stands how far the peak of
a process rises that loads the layer, its float32 source made expert by expert, and runs it once.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pairs import Comparison, compare_inside, in_turn, output, verdict

__all__ = ["Footprint", "opened_layer", "resident", "run"]

TOKENS = 32
MESHES = ("1x8", "4x8")
TIME_BOUND, MEMORY_BOUND = 1.5, 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """How far memory rose, beside the bytes that must be held."""

    name: str
    peak_bytes: int
    held_bytes: int
    bound: float

    @property
    def is_held(self) -> bool:
        """Say whether memory rose no further than its bound."""
        return self.peak_bytes / self.held_bytes <= self.bound

    def __str__(self) -> str:
        return (
            f"{self.name}: peak {self.peak_bytes / 1e9:.2f} GB over {self.held_bytes / 1e9:.2f} GB of weights, "
            f"{self.peak_bytes / self.held_bytes:.3f} ({verdict(self.bound, is_held=self.is_held)})"
        )


def run(root: Path, *, pairs: int, dtype: str = "bfloat16") -> list[Comparison | Footprint]:
    """Compare the layer on each mesh with the reference, then weigh it."""
    found: list[Comparison | Footprint] = []
    for mesh in MESHES:
        name = f"decoder layer {dtype} on {mesh}"
        child = [sys.executable, "-m", __name__, mesh, dtype]
        timing, rival = [*child, "time", str(pairs)], "float32 reference"
        found.append(compare_inside(name, rival, timing, root=root, bound=TIME_BOUND))
        if _has_dots():
            without = ["env", "TTEMU_PRODUCTS=float32", *timing]
            found.append(compare_inside(f"{name}, TTEMU_PRODUCTS=float32", rival, without, root=root, bound=None))
        peak, held = json.loads(output([*child, "memory"], root))
        found.append(Footprint(name=name, peak_bytes=peak, held_bytes=held, bound=MEMORY_BOUND))
    return found


def _has_dots() -> bool:
    from ttemu.ops.product import has_dot_products

    return has_dot_products()


def main() -> None:
    """Measure time or memory in this process, and print it as JSON."""
    import torch

    import ttemu

    ttemu.install()
    torch.set_num_threads(1)
    mesh, dtype, what, *pairs = sys.argv[1:]
    print(_times(mesh, dtype, int(pairs[0])) if what == "time" else json.dumps(_memory(mesh, dtype)))


def _times(mesh: str, dtype: str, pairs: int) -> str:
    """Return what the emulated layer and the reference cost in turn."""
    from gptoss.config import GptOssConfig
    from gptoss.reference import Reference

    config = GptOssConfig()
    weights = resident(config)
    forward, x = _layer(mesh, dtype, config, weights)
    reference = Reference(config, weights)

    return in_turn(forward, lambda: reference.layer(x, 0), pairs=pairs)


def _memory(mesh: str, dtype: str) -> tuple[int, int]:
    """Return the bytes that the peak rises by, and those of the weights as bfloat16."""
    from gptoss.config import GptOssConfig
    from gptoss.weights import DummyWeights, shapes

    config = GptOssConfig()
    before = _resident_bytes()
    forward, _ = _layer(mesh, dtype, config, DummyWeights(config, keep_bytes=0))
    forward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    layer = [shape for name, shape in shapes(config).items() if name.startswith("model.layers.0.")]
    return peak - before, 2 * sum(math.prod(shape) for shape in layer)


def _layer(mesh: str, dtype: str, config: object, weights: object) -> tuple[Callable[[], object], object]:
    """Return a forward pass of layer 0, all of its weights on the mesh, and the input [S, H] that it takes."""
    import torch

    from gptoss.component import place

    device, layer = opened_layer(mesh, dtype, config, weights)
    x = torch.randn(TOKENS, config.hidden_size, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    return lambda: layer.prefill(place(device, x[None, None])), x


def opened_layer(mesh: str, dtype: str, config: object, weights: object) -> tuple[object, object]:
    """Open a mesh, and return it and layer 0 with all of its weights on it."""
    import ttnn

    from gptoss.ccl import CCLManager
    from gptoss.layer import DecoderLayer

    rows, cols = (int(size) for size in mesh.split("x"))
    ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    device = ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(rows, cols))
    layer = DecoderLayer(
        device, config, weights, CCLManager(device), dtype=getattr(ttnn, dtype), limit_bytes=sys.maxsize
    )
    return device, layer


def resident(config: object) -> dict[str, object]:
    """Return the float32 tensors of layer 0, stacks filled expert by expert."""
    import torch

    from gptoss.weights import DummyWeights, shapes

    weights, made = DummyWeights(config, keep_bytes=0), {}
    for name, shape in shapes(config).items():
        if not name.startswith("model.layers.0."):
            continue
        if ".experts." not in name:
            made[name] = weights[name]
            continue
        made[name] = torch.empty(shape)
        for expert in range(shape[0]):
            made[name][expert] = weights.expert(name, expert)
    return made


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()

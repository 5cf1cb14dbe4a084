"""One decoder layer at gpt-oss-120b's widths on 1x8, emulated, whose 128 experts are made when a token asks for them.

The rival in time is ``gptoss.reference``, which does the same work unsharded in float32 on one thread: both make the
attention's weights, then every expert that some token chose, one after the other, use it and drop it, from the same
made-up weights of which none are kept. Of 128 experts, 32 tokens choose about 80. The reference gives an expert the
one or two tokens that chose it; the model all 32, after it has cut the expert over 8 columns and rounded it.

The rival in memory is a number: the most that the process holds, torch and the interpreter included.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pairs import Comparison, compare_inside, in_turn, output, verdict

__all__ = ["Peak", "run"]

EXPERTS = 128
COLUMNS = 8
TIME_BOUND = 2.0
TIMED_TOKENS = 32
PEAK_BOUNDS_BYTES = {32: 2e9, 128: 4e9}
DTYPES = ("bfloat16", "bfloat8_b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most memory that a process held, beside what it may hold."""

    name: str
    peak_bytes: int
    bound_bytes: float

    @property
    def is_held(self) -> bool:
        """Say whether the process held less than it may."""
        return self.peak_bytes < self.bound_bytes

    def __str__(self) -> str:
        bound = verdict(f"{self.bound_bytes / 1e9:.0f} GB", is_held=self.is_held)
        return f"{self.name}: peak {self.peak_bytes / 1e9:.2f} GB ({bound})"


def run(root: Path, *, pairs: int) -> list[Comparison | Peak]:
    """Compare the layer with the reference in each dtype, and weigh it at each length of prompt."""
    found: list[Comparison | Peak] = []
    for dtype in DTYPES:
        name = f"lazy 120b layer {dtype} on 1x{COLUMNS}"
        child = [sys.executable, "-m", __name__, dtype]
        timing = [*child, "time", str(TIMED_TOKENS), str(pairs)]
        rival = "lazy float32 reference"
        found.append(compare_inside(f"{name}, {TIMED_TOKENS} tokens", rival, timing, root=root, bound=TIME_BOUND))
        for tokens, bound in PEAK_BOUNDS_BYTES.items():
            peak = json.loads(output([*child, "memory", str(tokens)], root).splitlines()[-1])
            found.append(Peak(name=f"{name}, {tokens} tokens", peak_bytes=peak, bound_bytes=bound))
    return found


def main() -> None:
    """Measure time or memory in this process, and print it as JSON."""
    from meshsweep.backends.emulated import EmulatedBackend

    # As in a cell: the emulator under the name ttnn, and what it asks of torch's memory.
    EmulatedBackend(None).activate(None, [])
    import torch

    torch.set_num_threads(1)
    dtype, what, tokens, *pairs = sys.argv[1:]
    ours, theirs = _rivals(dtype, int(tokens))
    if what == "time":
        print(in_turn(ours, theirs, pairs=int(pairs[0])))
        return
    ours()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _rivals(dtype: str, tokens: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the emulated layer and the reference, either of which makes, uses and drops its weights when called."""
    import torch
    import ttnn

    from gptoss.ccl import CCLManager
    from gptoss.component import place
    from gptoss.config import GptOssConfig
    from gptoss.layer import DecoderLayer
    from gptoss.reference import Reference
    from gptoss.weights import DummyWeights

    config = GptOssConfig(num_local_experts=EXPERTS)
    weights = DummyWeights(config, keep_bytes=0)
    ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
    device = ttnn.open_mesh_device(mesh_shape=ttnn.MeshShape(1, COLUMNS))
    x = torch.randn(tokens, config.hidden_size, generator=torch.Generator().manual_seed(0)).bfloat16().float()

    def emulated() -> object:
        layer = DecoderLayer(device, config, weights, CCLManager(device), dtype=getattr(ttnn, dtype))
        return layer.prefill(place(device, x[None, None]))

    return emulated, lambda: Reference(config, weights).layer(x, 0)


if __name__ == "__main__":
    main()

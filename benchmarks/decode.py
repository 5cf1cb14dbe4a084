"""One decode step of a gpt-oss-20b decoder layer with resident weights, emulated on 4x8 in bfloat16 and bfloat8_b.

The rival is ``gptoss.reference``: the same layer in float32 torch with unsharded float32 weights in memory, on one
thread as ours is, decoding one token after a prompt of 32 that is in its cache. Both read the weights of attention and
of four experts once and do little with each, so that a step costs what reading costs: ours reads half the bytes, but
turns them into float32, and answers for 32 devices.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.decoder import opened_layer, resident
from benchmarks.pairs import Comparison, compare_inside, in_turn

__all__ = ["run"]

PROMPT = 32
MESH = "4x8"
BOUND = 1.5


def run(root: Path, *, pairs: int) -> list[Comparison]:
    """Compare a step of the layer in each dtype with the reference's."""
    return [_compare(root, dtype, pairs) for dtype in ("bfloat16", "bfloat8_b")]


def _compare(root: Path, dtype: str, pairs: int) -> Comparison:
    # A step takes a fraction of a second, so that many cost little and their median is steady.
    child = [sys.executable, "-m", __name__, MESH, dtype, str(10 * pairs)]
    name = f"decode step of one 20b layer on {MESH}, resident weights in {dtype}"
    return compare_inside(name, "float32 reference", child, root=root, bound=BOUND)


def main() -> None:
    """Time both steps in this process, in turn, and print seconds as JSON."""
    import torch

    import ttemu

    ttemu.install()
    torch.set_num_threads(1)
    mesh, dtype, pairs = sys.argv[1:]
    ours, theirs = _steps(mesh, dtype)
    print(in_turn(ours, theirs, pairs=int(pairs)))


def _steps(mesh: str, dtype: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a step of the emulated layer and one of the reference, each of the token after the same prompt."""
    import torch

    from gptoss.component import place
    from gptoss.config import GptOssConfig
    from gptoss.reference import Reference, ReferenceCache

    config = GptOssConfig()
    weights = resident(config)
    device, layer = opened_layer(mesh, dtype, config, weights)
    x = torch.randn(PROMPT + 1, config.hidden_size, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    cache = layer.attention.new_cache(2 * PROMPT)
    layer.prefill(place(device, x[None, None, :PROMPT]), cache=cache)
    reference, known = Reference(config, weights), ReferenceCache()
    reference.attention(reference.rms_norm(x[:PROMPT], "model.layers.0.input_layernorm"), 0, known)
    token = x[PROMPT:]

    def theirs() -> object:
        del known.keys[PROMPT:], known.values[PROMPT:]
        return reference.layer(token, 0, known)

    return lambda: layer.decode(place(device, token[None, None]), PROMPT, cache), theirs


if __name__ == "__main__":
    main()

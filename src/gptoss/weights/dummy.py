"""Make the weights of a GPT-OSS model up from a seed, tensor by tensor and expert by expert."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping

import torch

from gptoss.config import GptOssConfig
from gptoss.weights.base import Shape, Weights, shapes

__all__ = ["DummyWeights"]

# (mean, spread, whether the spread is divided by the square root of the inputs), by end of name.
# Hidden states stay near 1; the swiglu limit of 7 is met by about one gate in a hundred.
_SPREADS: Mapping[str, tuple[float, float, bool]] = {
    "layernorm.weight": (1.0, 0.2, False),
    "norm.weight": (1.0, 0.2, False),
    "embed_tokens.weight": (0.0, 1.0, False),
    "lm_head.weight": (0.0, 2.0, True),
    "o_proj.weight": (0.0, 1.0, True),
    "_proj.weight": (0.0, 1.0, True),
    "router.weight": (0.0, 2.0, True),
    "gate_up_proj": (0.0, 3.0, True),
    "down_proj": (0.0, 0.12, True),
    "sinks": (0.5, 1.0, False),
    "bias": (0.0, 0.3, False),
}


class DummyWeights(Weights):
    """Made-up weights: each tensor depends on the seed, its name, layer and expert alone.

    Values are float32 that bfloat16 holds exactly, as published weights are. The first ``keep_bytes`` of tensors
    are kept, which is all of a tiny model; beyond that each is made anew when it is asked for.
    """

    def __init__(self, config: GptOssConfig, *, seed: int = 0, keep_bytes: int = 1 << 26) -> None:
        self.seed = seed
        self._shapes = shapes(config)
        self._kept: dict[str, torch.Tensor] = {}
        self._room_bytes = keep_bytes

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self._shapes[name]
        if ".experts." in name:
            return torch.stack([self.expert(name, e) for e in range(shape[0])])
        return self._make(name, shape)

    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return one expert's [in, out] weight or [out] bias."""
        return self._make(f"{name}.{index}", self._shapes[name][1:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def _make(self, key: str, shape: Shape) -> torch.Tensor:
        if key in self._kept:
            return self._kept[key]
        made = self._made(key, shape)
        if made.nbytes <= self._room_bytes:
            self._room_bytes -= made.nbytes
            self._kept[key] = made
        return made

    def _made(self, key: str, shape: Shape) -> torch.Tensor:
        mean, spread, scaled = _spread_of(key)
        if scaled:
            # Expert weights are [in, out], all others [out, in].
            spread /= math.sqrt(shape[0] if ".experts." in key else shape[-1])
        levels = (_BELL * spread + mean).bfloat16().float()
        codes = _random_bytes(math.prod(shape), f"{self.seed}/{key}")
        return levels.index_select(0, codes).reshape(shape)


def _spread_of(key: str) -> tuple[float, float, bool]:
    name = key.rstrip("0123456789").rstrip(".")
    return next(spread for end, spread in _SPREADS.items() if name.endswith(end))


# The 256 equally likely levels of a normal distribution: a byte picks one, nine times
# faster than torch.randn, and the tails end at 2.9 standard deviations.
_BELL: torch.Tensor = torch.special.ndtri((torch.arange(256, dtype=torch.float64) + 0.5) / 256)


def _random_bytes(count: int, key: str) -> torch.Tensor:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    words = torch.empty(-(-count // 8), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[:count].to(torch.int32)

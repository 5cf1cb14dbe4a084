"""Make the weights of a GPT-OSS model up from a seed, tensor by tensor and expert by expert."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

import torch

from gptoss.config import GptOssConfig
from gptoss.weights.base import Shape, Weights, shapes

__all__ = ["OUT_OF_REACH", "DummyWeights"]

OUT_OF_REACH = 64.0
"""By how much a bias is lowered outside of a pool; the scores of a router spread over 2 to 8."""

# Rows of a vocabulary's table that share a seed: to look one token up, that many rows are made.
_BLOCK_ROWS = 64
# Elements made at a time; what is read and written on the way then stays in a second-level cache.
_CHUNK = 1 << 18

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

    Values are torch.bfloat16, as published weights are. Up to ``keep_bytes`` of those used last are kept, which is
    all of a tiny model or a few experts of a real one; others are made anew when they are asked for.

    With a ``pool``, the biases of each router put all experts but that many out of reach: it chooses among those by
    their scores, as ever. ``pool_seed`` and the layer say which they are. A few of 128 experts are then enough.
    """

    def __init__(
        self,
        config: GptOssConfig,
        *,
        seed: int = 0,
        keep_bytes: int = 1 << 29,
        pool: int | None = None,
        pool_seed: int = 0,
    ) -> None:
        self.seed = seed
        self.keep_bytes = keep_bytes
        self.pool = pool
        self.pool_seed = pool_seed
        self._sizes = config.as_dict()
        self._shapes = shapes(config)
        self._kept: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._kept_bytes = 0

    @property
    def identity(self) -> Mapping[str, object]:
        """What tells these weights from others that are kept on disk: their seed and sizes.

        A pool changes the biases of routers alone, which are too small to keep; all else serves tests of any pool.
        """
        return {"seed": self.seed, "sizes": self._sizes}

    @property
    def source(self) -> str:
        """Where these weights come from: nowhere but their seed."""
        return f"made up, seed {self.seed}"

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self._shapes[name]
        if ".experts." in name:
            return torch.stack([self.expert(name, e) for e in range(shape[0])])
        return self._pooled(name) if self.pool and name.endswith("router.bias") else self._keep(name, shape)

    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return one expert's [in, out] weight or [out] bias."""
        return self._keep(f"{name}.{index}", self._shapes[name][1:])

    def rows(self, name: str, indices: Sequence[int]) -> torch.Tensor:
        """Return the rows ``indices`` of a vocabulary's table, [N, H]."""
        shape = self._shapes[name]
        if name in self._kept or not _is_table(name):
            return self[name][list(indices)]
        blocks = {index // _BLOCK_ROWS: None for index in indices}
        made = {block: self._block(name, shape, block) for block in blocks}
        return torch.stack([made[index // _BLOCK_ROWS][index % _BLOCK_ROWS] for index in indices])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def _pooled(self, name: str) -> torch.Tensor:
        """Return a router's biases [E], those outside of its pool lowered.

        Experts of a pool stand evenly apart, so that devices that hold whole experts hold as many of them each.
        """
        bias = self._keep(name, self._shapes[name])
        apart = len(bias) // min(self.pool or len(bias), len(bias))
        first = int(torch.randint(apart, (1,), generator=_generator(f"{self.pool_seed}/{name}")))
        outside = torch.ones(len(bias), dtype=torch.bool)
        outside[first::apart] = False
        return torch.where(outside, bias - OUT_OF_REACH, bias)

    def _keep(self, key: str, shape: Shape) -> torch.Tensor:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = self._table(key, shape) if _is_table(key) else self._made(key, key, shape)
        if made.nbytes <= self.keep_bytes:
            self._kept[key] = made
            self._kept_bytes += made.nbytes
            while self._kept_bytes > self.keep_bytes:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return made

    def _table(self, name: str, shape: Shape) -> torch.Tensor:
        made = torch.empty(shape, dtype=torch.bfloat16)
        for block, rows in enumerate(torch.split(made, _BLOCK_ROWS)):
            rows.copy_(self._block(name, shape, block)[: len(rows)])
        return made

    def _block(self, name: str, shape: Shape, block: int) -> torch.Tensor:
        """Return rows of a table from ``block`` * 64 on, [64, H], those past its end included."""
        return self._made(name, f"{name}/{block}", (_BLOCK_ROWS, shape[-1]))

    def _made(self, name: str, key: str, shape: Shape) -> torch.Tensor:
        mean, spread, scaled = _spread_of(name)
        if scaled:
            # Expert weights are [in, out], all others [out, in].
            spread /= math.sqrt(shape[0] if ".experts." in name else shape[-1])
        return _drawn(_pairs(mean, spread), f"{self.seed}/{key}", shape)


def _is_table(name: str) -> bool:
    return name.endswith(("embed_tokens.weight", "lm_head.weight"))


def _spread_of(key: str) -> tuple[float, float, bool]:
    name = key.rstrip("0123456789").rstrip(".")
    return next(spread for end, spread in _SPREADS.items() if name.endswith(end))


# The 256 equally likely levels of a normal distribution: a byte picks one, ten times
# faster than torch.randn, and the tails end at 2.9 standard deviations.
_BELL: torch.Tensor = torch.special.ndtri((torch.arange(256, dtype=torch.float64) + 0.5) / 256)


def _drawn(pairs: torch.Tensor, key: str, shape: Shape) -> torch.Tensor:
    """Return one of 256 levels for every element, the choice seeded by ``key``.

    Two elements at a time: 16 random bits pick from a table of 65,536 ``pairs``, moved as one 32-bit number.
    """
    generator = _generator(key)
    count = math.prod(shape)
    words = torch.empty(min(-(-count // 8), _CHUNK // 8), dtype=torch.int64)
    codes = torch.empty(4 * len(words), dtype=torch.int32)
    made = torch.empty(-(-count // 8) * 8, dtype=torch.bfloat16)
    for part in torch.split(made.view(torch.int32), len(codes)):
        drawn = words[: len(part) // 4].random_(-(2**63), None, generator=generator).view(torch.int16)
        # From -32768 to 32767: the table begins in its middle.
        torch.index_select(pairs, 0, codes[: len(part)].copy_(drawn).add_(1 << 15), out=part)
    return made[:count].view(shape)


def _generator(key: str) -> torch.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@functools.lru_cache(maxsize=32)
def _pairs(mean: float, spread: float) -> torch.Tensor:
    """Return every pair of levels as one int32, by its two bytes read as a signed number plus 32768."""
    levels = (_BELL * spread + mean).bfloat16()
    codes = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.uint8)
    return levels.index_select(0, codes.int()).view(torch.int32)

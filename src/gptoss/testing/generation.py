"""Generate tokens with the reference, and count how often the model would have chosen the same.

The reference's greedy tokens are fed to both (teacher forcing): a model that once chooses otherwise, at a near tie,
goes on from the same text, and each step is judged by itself. Letters: S prompt, N new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from gptoss.reference import Reference, ReferenceCache

__all__ = ["NEW_TOKENS", "Generation", "compare_generation", "greedy"]

# What floors of shares count in: one token more or less.
NEW_TOKENS = 30

# Steps that went wrong are named, but not all of them.
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A verdict on generated tokens: the shares of them that were the model's first choice, or among its first five."""

    subject: str
    tokens: int
    top1: float
    top5: float
    least_top1: float
    least_top5: float
    misses: tuple[str, ...] = ()
    waived: bool = False

    def __bool__(self) -> bool:
        return self.waived or (self.top1 >= self.least_top1 and self.top5 >= self.least_top5)

    def __str__(self) -> str:
        if self.waived:
            return f"values waived, {self.tokens} tokens generated ({self.subject})"
        first = f"top-1 {self.top1:.4f} {'>=' if self.top1 >= self.least_top1 else '<'} {self.least_top1:.4g}"
        five = f"top-5 {self.top5:.4f} {'>=' if self.top5 >= self.least_top5 else '<'} {self.least_top5:.4g}"
        return "; ".join([first, f"{five} of {self.tokens} tokens", *self.misses[:SHOWN], self.subject])

    __repr__ = __str__


def greedy(reference: Reference, prompt: torch.Tensor, *, layers: int, count: int = NEW_TOKENS) -> torch.Tensor:
    """Return the ``count`` tokens [N] that the reference finds most likely after ``prompt`` [S], one by one."""
    caches = [ReferenceCache() for _ in range(layers)]
    logits = reference.model(prompt, layers=layers, caches=caches)
    tokens: list[int] = []
    while len(tokens) < count:
        tokens.append(int(logits[-1].argmax()))
        if len(tokens) < count:
            logits = reference.model(torch.tensor(tokens[-1:]), layers=layers, caches=caches)
    return torch.tensor(tokens)


def compare_generation(
    logits: Iterable[torch.Tensor], tokens: torch.Tensor, *, least_top1: float, least_top5: float, subject: str
) -> Generation:
    """Return the verdict on the worst copy of a model's ``logits``, each [.., N, V] for ``tokens`` [N].

    Row n is what the model said before it was given token n. A row with a NaN or infinity, or of one value only,
    chooses nothing.
    """
    shares, misses = [], []
    for number, copy in enumerate(logits):
        rows = copy.reshape(-1, copy.shape[-1])
        if len(rows) != len(tokens):
            raise ValueError(f"logits of {len(rows)} tokens; expected {len(tokens)}")
        told = _tells(rows)
        best = rows.topk(5, dim=-1).indices
        is_first = (best[:, 0] == tokens) & told
        is_among = (best == tokens[:, None]).any(dim=-1) & told
        shares.append((int(is_first.sum()) / len(tokens), int(is_among.sum()) / len(tokens)))
        misses += [
            f"copy {number}, token {n}: {int(tokens[n])} expected, {best[n].tolist()} found"
            for n in (~is_first).nonzero().flatten().tolist()
        ]
    top1, top5 = _worst(shares)
    return Generation(
        subject=subject,
        tokens=len(tokens),
        top1=top1,
        top5=top5,
        least_top1=least_top1,
        least_top5=least_top5,
        misses=tuple(misses),
    )


def _tells(rows: torch.Tensor) -> torch.Tensor:
    """Return which rows [N, V] of logits choose a token, [N]."""
    return rows.isfinite().all(dim=-1) & (rows.amax(dim=-1) > rows.amin(dim=-1))


def _worst(shares: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(first for first, _ in shares), min(five for _, five in shares)

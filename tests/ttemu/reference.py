"""Attention and rotation written as loops: the slow references, which share no line with the emulator."""

from __future__ import annotations

import math

import torch


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    visible: list[range],
    *,
    sinks: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return attention of q [N, S, D] over k, v [K, S', D]; query i sees the keys ``visible[i]``.

    ``sinks`` [N] are scaled like scores, ``bias`` [N, S, S'] is not.
    """
    heads, length, width = q.shape
    groups = heads // k.shape[0]
    out = torch.zeros(heads, length, width)
    for head in range(heads):
        for query in range(length):
            logits = [float(q[head, query] @ k[head // groups, key]) / math.sqrt(width) for key in visible[query]]
            if bias is not None:
                logits = [
                    value + float(bias[head, query, key]) for value, key in zip(logits, visible[query], strict=True)
                ]
            extra = [] if sinks is None else [float(sinks[head]) / math.sqrt(width)]
            top = max([*logits, *extra])
            total = sum(math.exp(value - top) for value in [*logits, *extra])
            for value, key in zip(logits, visible[query], strict=True):
                out[head, query] += math.exp(value - top) / total * v[head // groups, key]
    return out


def causal(length: int, window: int | None) -> list[range]:
    """Return which keys each query sees: itself and what came before, ``window`` keys at most."""
    return [range(0 if window is None else max(0, query - window + 1), query + 1) for query in range(length)]


def rotate_pairs(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return x with each pair (a, b) of columns turned to (a cos - b sin, b cos + a sin)."""
    out = torch.empty_like(x)
    for pair in range(0, x.shape[-1], 2):
        a, b = x[..., pair], x[..., pair + 1]
        out[..., pair] = a * cos[..., pair] - b * sin[..., pair]
        out[..., pair + 1] = b * cos[..., pair + 1] + a * sin[..., pair + 1]
    return out

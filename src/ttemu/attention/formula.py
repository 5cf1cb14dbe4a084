"""Compute attention with sinks and windows in float32.

Shapes: r, c mesh rows and columns; B users; N query heads in K groups of G; S keys; D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ttemu.ops.product import multiply_matrices

__all__ = ["Scores", "attend_causal", "attend_masked"]

QUERY_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What turns q.k into weights: the scale, the window and one sink logit per head [r, c, 1, K, G, 1, 1]."""

    scale: float
    window: int | None = None
    sink: torch.Tensor | None = None


def _weights(logits: torch.Tensor, settings: Scores) -> torch.Tensor:
    """Return the softmax of logits [r, c, B, K, G, S, S'] over the keys and the sink."""
    if settings.sink is None:
        return logits.softmax(-1)
    # The kernels fold the scale into the exponent, so the sink is scaled like any score (tt-metal #42891).
    sink = settings.sink * settings.scale
    top = torch.maximum(logits.amax(-1, keepdim=True), sink)
    weights = torch.exp(logits - top)
    return weights / (weights.sum(-1, keepdim=True) + torch.exp(sink - top))


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    hidden: torch.Tensor | None,
    bias: torch.Tensor | None,
    how: Scores,
) -> torch.Tensor:
    logits = multiply_matrices(q, k.transpose(-1, -2)) * how.scale
    if bias is not None:
        logits = logits + bias
    if hidden is not None:
        logits = logits.masked_fill(hidden, float("-inf"))
    return multiply_matrices(_weights(logits, how), v)


def attend_masked(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    how: Scores,
    hidden: torch.Tensor | None,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    """Return attention of q [r, c, B, K, G, S, D] over k, v [r, c, B, K, 1, S', D] but for ``hidden`` keys.

    Queries go in chunks, as in `attend_causal`.
    """
    if q.shape[-2] <= QUERY_CHUNK:
        return _attend(q, k, v, hidden, bias, how)
    parts = []
    for start in range(0, q.shape[-2], QUERY_CHUNK):
        chunk = slice(start, start + QUERY_CHUNK)
        parts.append(_attend(q[..., chunk, :], k, v, _rows(hidden, chunk), _rows(bias, chunk), how))
    return torch.cat(parts, dim=-2)


def _rows(mask: torch.Tensor | None, chunk: slice) -> torch.Tensor | None:
    """Return the rows of a mask [.., S or 1, S'] that belong to a chunk of queries."""
    return mask if mask is None or mask.shape[-2] == 1 else mask[..., chunk, :]


def attend_causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, how: Scores) -> torch.Tensor:
    """Return attention of q over the keys up to its own position, at most ``window`` of them.

    Queries go in chunks, so memory grows with the sequence, not with its square.
    """
    length = q.shape[-2]
    parts = []
    for start in range(0, length, QUERY_CHUNK):
        stop = min(start + QUERY_CHUNK, length)
        first = 0 if how.window is None else max(0, start - how.window + 1)
        query = torch.arange(start, stop).unsqueeze(1)
        key = torch.arange(first, stop)
        hidden = key > query
        if how.window is not None:
            hidden = hidden | (key <= query - how.window)
        parts.append(_attend(q[..., start:stop, :], k[..., first:stop, :], v[..., first:stop, :], hidden, None, how))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)

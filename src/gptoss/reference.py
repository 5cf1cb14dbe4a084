"""Compute what the model should: naive float32 torch, one plain loop after another.

Nothing here is shared with the model, so one mistake cannot hide in both. Heads are rotated in the
published half-split form, weights are used as published, sinks are appended as a column of scores.
Letters: S tokens, H hidden, D head_dim, Nq and Nk heads, E experts, K chosen, I intermediate, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gptoss.config import GptOssConfig

__all__ = ["Reference", "ReferenceCache", "attend", "rotate", "swiglu"]


@dataclass(slots=True)
class ReferenceCache:
    """One layer's rotated keys and values so far, each [S, Nk, D]."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [S, N, D] by tables [S, D/2]: halves (a, b) -> (a cos - b sin, b cos + a sin)."""
    half = heads.shape[-1] // 2
    a, b = heads[..., :half], heads[..., half:]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, *, window: int | None, start: int = 0) -> Tensor:
    """Return [S, Nq, D] for q [S, Nq, D] at positions from ``start`` and all k, v [T, Nk, D]."""
    num_queries, num_heads, head_dim = q.shape
    positions = torch.arange(start, start + num_queries)[:, None]
    others = torch.arange(len(k))[None, :]
    unseen = others > positions
    if window is not None:
        unseen = unseen | (others <= positions - window)
    each = num_heads // k.shape[1]
    out = torch.zeros_like(q)
    for shared in range(k.shape[1]):
        heads = slice(shared * each, (shared + 1) * each)
        scores = q[:, heads].transpose(0, 1) @ k[:, shared].T / math.sqrt(head_dim)
        scores = scores.masked_fill(unseen, -math.inf)
        column = sinks[heads, None, None].expand(each, num_queries, 1)
        shares = torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)
        out[:, heads] = (shares[..., :-1] @ v[:, shared]).transpose(0, 1)
    return out


def swiglu(gate: Tensor, up: Tensor, *, limit: float, alpha: float) -> Tensor:
    """Return (up + 1) gate sigmoid(alpha gate); gate is clamped above, up on both sides."""
    gate = torch.minimum(gate, torch.tensor(limit))
    up = torch.maximum(torch.minimum(up, torch.tensor(limit)), torch.tensor(-limit))
    return (up + 1.0) * gate * torch.sigmoid(alpha * gate)


class Reference:
    """Every part of the model in float32, over one state dict."""

    def __init__(self, config: GptOssConfig, state_dict: Mapping[str, Tensor]) -> None:
        self.config = config
        self.state_dict = state_dict

    def rms_norm(self, x: Tensor, name: str) -> Tensor:
        """Return weight * x / sqrt(mean(x^2) + eps) for [S, H]."""
        mean_square = (x * x).sum(dim=1, keepdim=True) / x.shape[1]
        return self._tensor(f"{name}.weight") * x / torch.sqrt(mean_square + self.config.rms_norm_eps)

    def rope_tables(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        """Return cos and sin [S, D/2] of YaRN, both times its attention factor."""
        frequencies = self._frequencies()
        factor = 0.1 * math.log(self.config.rope_scaling_factor) + 1.0
        cos = [[math.cos(p * f) * factor for f in frequencies] for p in positions]
        sin = [[math.sin(p * f) * factor for f in frequencies] for p in positions]
        return torch.tensor(cos), torch.tensor(sin)

    def attention(self, x: Tensor, layer: int, cache: ReferenceCache | None = None) -> Tensor:
        """Return [S, H] for tokens that follow those in the cache, which then holds them too."""
        cache = cache or ReferenceCache()
        start, prefix = len(cache.keys), f"model.layers.{layer}.self_attn"
        cos, sin = self.rope_tables(list(range(start, start + len(x))))
        q = rotate(self._heads(x, f"{prefix}.q_proj"), cos, sin)
        cache.keys.extend(rotate(self._heads(x, f"{prefix}.k_proj"), cos, sin))
        cache.values.extend(self._heads(x, f"{prefix}.v_proj"))
        heads = attend(
            q,
            torch.stack(cache.keys),
            torch.stack(cache.values),
            self._tensor(f"{prefix}.sinks"),
            window=self.config.sliding_window if layer % 2 == 0 else None,
            start=start,
        )
        return self._linear(heads.reshape(len(x), -1), f"{prefix}.o_proj")

    def router_logits(self, x: Tensor, layer: int) -> Tensor:
        """Return the score of every expert [S, E]."""
        return self._linear(x, f"model.layers.{layer}.mlp.router", always_bias=True)

    def router(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return the weights and the indices [S, K] of each token's experts, best first."""
        weights, chosen = [], []
        for row in self.router_logits(x, layer):
            order = torch.argsort(row, descending=True, stable=True)
            best = order[: self.config.num_experts_per_tok]
            chosen.append(best)
            weights.append(torch.softmax(row[best], dim=0))
        return torch.stack(weights), torch.stack(chosen)

    def routing(self, x: Tensor, layer: int) -> Tensor:
        """Return the weights of every expert [S, E], zero for those not chosen."""
        weights, chosen = self.router(x, layer)
        dense = torch.zeros(len(x), self.config.num_local_experts)
        for token in range(len(x)):
            for weight, expert in zip(weights[token], chosen[token], strict=True):
                dense[token, expert] = weight
        return dense

    def experts(self, x: Tensor, routing: Tensor, layer: int) -> Tensor:
        """Return [S, H]: the weighted sum of what each token's experts make of it."""
        out = torch.zeros_like(x)
        for expert in range(self.config.num_local_experts):
            tokens = [t for t in range(len(x)) if routing[t, expert] != 0]
            if tokens:
                made = self._expert(x[tokens], layer, expert)
                for t, y in zip(tokens, made, strict=True):
                    out[t] += routing[t, expert] * y
        return out

    def mlp(self, x: Tensor, layer: int) -> Tensor:
        """Return [S, H]: router, then experts."""
        return self.experts(x, self.routing(x, layer), layer)

    def layer(self, x: Tensor, layer: int, cache: ReferenceCache | None = None) -> Tensor:
        """Return [S, H] of one decoder layer."""
        prefix = f"model.layers.{layer}"
        x = x + self.attention(self.rms_norm(x, f"{prefix}.input_layernorm"), layer, cache)
        return x + self.mlp(self.rms_norm(x, f"{prefix}.post_attention_layernorm"), layer)

    def model(self, tokens: Tensor, *, layers: int, caches: list[ReferenceCache] | None = None) -> Tensor:
        """Return logits [S, V] of token ids [S] that follow those in the caches."""
        x = self._rows("model.embed_tokens.weight", tokens.tolist())
        for layer in range(layers):
            x = self.layer(x, layer, caches[layer] if caches else None)
        return self._head(self.rms_norm(x, "model.norm"))

    def _tensor(self, name: str) -> Tensor:
        return self.state_dict[name].to(torch.float32)

    def _rows(self, name: str, indices: list[int]) -> Tensor:
        lazy = getattr(self.state_dict, "rows", None)
        made: Tensor = lazy(name, indices) if lazy else self.state_dict[name][indices]
        return made.to(torch.float32)

    def _head(self, x: Tensor) -> Tensor:
        """Return logits [S, V], a part of the vocabulary at a time: all of it in float32 would take gigabytes."""
        parts = torch.split(self.state_dict["lm_head.weight"], 8192)
        return torch.cat([x @ part.to(torch.float32).T for part in parts], dim=1)

    def _linear(self, x: Tensor, name: str, *, always_bias: bool = False) -> Tensor:
        y = x @ self._tensor(f"{name}.weight").T
        if always_bias or self.config.attention_bias:
            y = y + self._tensor(f"{name}.bias")
        return y

    def _heads(self, x: Tensor, name: str) -> Tensor:
        return self._linear(x, name).reshape(len(x), -1, self.config.head_dim)

    def _frequencies(self) -> list[float]:
        """Blend plain and stretched frequencies; those that turn often stay plain (YaRN)."""
        config, half = self.config, self.config.head_dim // 2
        ends = []
        for rotations in (config.rope_beta_fast, config.rope_beta_slow):
            span = config.initial_context_length / (2 * math.pi * rotations)
            ends.append(config.head_dim * math.log(span) / (2 * math.log(config.rope_theta)))
        if config.rope_truncate:
            ends = [math.floor(ends[0]), math.ceil(ends[1])]
        low, high = max(ends[0], 0), min(ends[1], config.head_dim - 1)
        found = []
        for i in range(half):
            plain = 1.0 / config.rope_theta ** (2 * i / config.head_dim)
            stretch = min(max((i - low) / max(high - low, 1e-3), 0.0), 1.0)
            found.append(plain * (1 - stretch) + plain / config.rope_scaling_factor * stretch)
        return found

    def _expert(self, x: Tensor, layer: int, expert: int) -> Tensor:
        """Return [T, H] that one expert makes of tokens [T, H]."""
        prefix = f"model.layers.{layer}.mlp.experts"
        parts = {
            name: self._slice(f"{prefix}.{name}", expert)
            for name in ("gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias")
        }
        both = x @ parts["gate_up_proj"] + parts["gate_up_proj_bias"]
        hidden = swiglu(
            both[:, 0::2],
            both[:, 1::2],
            limit=self.config.swiglu_limit,
            alpha=self.config.swiglu_alpha,
        )
        return hidden @ parts["down_proj"] + parts["down_proj_bias"]

    def _slice(self, name: str, expert: int) -> Tensor:
        lazy = getattr(self.state_dict, "expert", None)
        made: Tensor = lazy(name, expert) if lazy else self.state_dict[name][expert]
        return made.to(torch.float32)

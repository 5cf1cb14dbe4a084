"""Draw random inputs whose routing is clear, so that rounding alone cannot change which experts answer.

The K-th and the next best expert of a token are sometimes all but tied. Which one is chosen then depends on the last
bit, and the token's output jumps: such inputs test luck. They are drawn again here, judged by the reference alone.
Letters: S tokens, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gptoss.reference import Reference, ReferenceCache

__all__ = ["Draws"]

# How far the K-th score must lie above the next, for each layer that was passed. Scores spread over 2 to 8. Measured,
# eight-bit weights move the difference of two scores by 0.025 (one standard deviation) in the first layer.
MARGIN = 0.1


class Draws:
    """Random inputs for a model, from torch's generator."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.config = reference.config

    def hidden(self, length: int) -> torch.Tensor:
        """Return hidden states [S, H] that bfloat16 holds exactly."""
        return torch.randn(length, self.config.hidden_size).bfloat16().float()

    def tokens(self, length: int, layers: int) -> torch.Tensor:
        """Return token ids [S] that every router of the first ``layers`` is clear about."""
        embedding = self.reference.state_dict["model.embed_tokens.weight"]

        def draw() -> tuple[torch.Tensor, torch.Tensor]:
            token = torch.randint(0, self.config.vocab_size, (1,))
            return token, embedding[token].float()

        return torch.cat(self._stream(draw, length, range(layers)))

    def stream(self, length: int, layer: int) -> torch.Tensor:
        """Return inputs [S, H] of one decoder layer whose router is clear about them, one after another."""

        def draw() -> tuple[torch.Tensor, torch.Tensor]:
            x = self.hidden(1)
            return x, x

        return torch.cat(self._stream(draw, length, [layer]))

    def decided(self, length: int, layer: int) -> torch.Tensor:
        """Return inputs [S, H] of one router that is clear about them."""
        found: list[torch.Tensor] = []
        while len(found) < length:
            x = self.hidden(length)
            found += x[self.is_clear(x, layer)]
        return torch.stack(found[:length])

    def is_clear(self, x: torch.Tensor, layer: int, depth: int = 1) -> torch.Tensor:
        """Return which inputs [S, H] of a router are no near tie, [S], after ``depth`` layers of rounding."""
        last = self.config.num_experts_per_tok
        if last == self.config.num_local_experts:
            return torch.ones(len(x), dtype=torch.bool)
        scores = self.reference.router_logits(x, layer).sort(descending=True).values
        return scores[:, last - 1] - scores[:, last] > MARGIN * depth

    def routing(self, length: int, pool: int) -> torch.Tensor:
        """Return weights [S, E]: for each token K experts out of ``pool``, at random, summing to one."""
        k, count = self.config.num_experts_per_tok, self.config.num_local_experts
        shares = torch.softmax(torch.randn(length, k), dim=-1).bfloat16().float()
        chosen = torch.randperm(count)[:pool][torch.rand(length, min(pool, count)).argsort(dim=-1)[:, :k]]
        return torch.zeros(length, count).scatter(1, chosen, shares)

    def _stream(
        self, draw: Callable[[], tuple[torch.Tensor, torch.Tensor]], length: int, layers: Sequence[int]
    ) -> list[torch.Tensor]:
        """Keep the first part of each draw whose second part, [1, H], passes every layer clearly."""
        caches = {layer: ReferenceCache() for layer in layers}
        kept: list[torch.Tensor] = []
        while len(kept) < length:
            drawn, x = draw()
            if self._passes(x, caches):
                kept.append(drawn)
            for cache in caches.values():
                del cache.keys[len(kept) :], cache.values[len(kept) :]
        return kept

    def _passes(self, x: torch.Tensor, caches: dict[int, ReferenceCache]) -> bool:
        for depth, (layer, cache) in enumerate(caches.items(), start=1):
            prefix = f"model.layers.{layer}"
            x = x + self.reference.attention(self.reference.rms_norm(x, f"{prefix}.input_layernorm"), layer, cache)
            routed = self.reference.rms_norm(x, f"{prefix}.post_attention_layernorm")
            if not self.is_clear(routed, layer, depth):
                return False
            # The last layer's experts have no router behind them.
            if depth < len(caches):
                x = x + self.reference.mlp(routed, layer)
        return True

"""Draw random inputs whose routing is clear, so that rounding alone cannot change which experts answer.

The K-th and the next best expert of a token are sometimes all but tied. Which one is chosen then depends on the last
bit, and the token's output jumps: such inputs test luck. They are drawn again here, judged by the reference alone.
Letters: S tokens, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gptoss.reference import Reference
from gptoss.weights import table_rows

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
        """Return token ids [S] that every router of the first ``layers`` is clear about, one after another."""

        def draw(count: int) -> torch.Tensor:
            return torch.randint(0, self.config.vocab_size, (count,))

        def embedded(tokens: torch.Tensor) -> torch.Tensor:
            return table_rows(self.reference.state_dict, "model.embed_tokens.weight", tokens.tolist()).float()

        return self._redrawn(draw, embedded, length, range(layers))

    def stream(self, length: int, layer: int) -> torch.Tensor:
        """Return inputs [S, H] of one decoder layer whose router is clear about them, one after another."""
        return self._redrawn(self.hidden, lambda x: x, length, [layer])

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

    def _redrawn(
        self,
        draw: Callable[[int], torch.Tensor],
        embedded: Callable[[torch.Tensor], torch.Tensor],
        length: int,
        layers: Sequence[int],
    ) -> torch.Tensor:
        """Return draws [S, ...] whose inputs ``embedded`` [S, H] pass every layer clearly.

        What a token is attended by lies behind it, so the first unclear one moves on with every round.
        """
        drawn = draw(length)
        while (unclear := self._unclear(embedded(drawn), layers)).any():
            drawn[unclear] = draw(int(unclear.sum()))
        return drawn

    def _unclear(self, x: torch.Tensor, layers: Sequence[int]) -> torch.Tensor:
        """Return which tokens [S, H] some layer's router is not clear about, [S]."""
        unclear = torch.zeros(len(x), dtype=torch.bool)
        for depth, layer in enumerate(layers, start=1):
            prefix = f"model.layers.{layer}"
            x = x + self.reference.attention(self.reference.rms_norm(x, f"{prefix}.input_layernorm"), layer)
            routed = self.reference.rms_norm(x, f"{prefix}.post_attention_layernorm")
            unclear |= ~self.is_clear(routed, layer, depth)
            # The last layer's experts have no router behind them.
            if depth < len(layers):
                x = x + self.reference.mlp(routed, layer)
        return unclear

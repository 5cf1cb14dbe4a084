"""Choose the top K experts of each token and weigh them; every device does it for itself.

Letters: T tokens, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import ttnn

from gptoss.component import Component, flat, precise, reshape_like

__all__ = ["Choice", "TopKRouter"]

# A weight of zero reads as an expert that was not chosen: the split of experts over rows would shift, and a kernel that
# waits for K of them would hang. Devices flush what is below the smallest normal number.
_LEAST = torch.finfo(torch.bfloat16).tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The experts of each token, best first: indices [1, 1, T, K] in uint16 and weights [1, 1, T, K], none zero."""

    indices: Any
    weights: Any

    def dense(self, num_experts: int) -> Any:
        """Return the weights of all experts [1, 1, T, E], zero for those not chosen."""
        shape = [*list(self.weights.shape)[:-1], num_experts]
        nothing = ttnn.zeros(
            shape,
            dtype=ttnn.bfloat16,
            layout=ttnn.TILE_LAYOUT,
            device=self.weights.device(),
            memory_config=ttnn.DRAM_MEMORY_CONFIG,
        )
        return ttnn.scatter(nothing, dim=-1, index=self.indices, src=self.weights)


class TopKRouter(Component):
    """Weights of all E experts for each token: softmax over the chosen K, zero elsewhere."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = self.replicate(self.weight("mlp.router.weight").T[None, None])
        self.bias = self.replicate(self.weight("mlp.router.bias").reshape(1, 1, 1, -1))

    def __call__(self, x: Any) -> Any:
        """Return weights [.., T, E] for hidden states [.., T, H]."""
        return reshape_like(self.prefill(flat(x)), x)

    def prefill(self, x: Any) -> Any:
        """Return weights [1, 1, T, E] for [1, 1, T, H]; decode is the same."""
        return self.choose(x).dense(self.config.num_local_experts)

    def choose(self, x: Any) -> Choice:
        """Return the experts of each token [1, 1, T, H]."""
        logits = ttnn.linear(x, self.gate, bias=self.bias, compute_kernel_config=precise())
        top, indices = ttnn.topk(logits, k=self.config.num_experts_per_tok, dim=-1, sorted=True)
        weights = ttnn.softmax(top, dim=-1, numeric_stable=True)
        return Choice(indices=indices, weights=ttnn.clamp(weights, min=_LEAST))

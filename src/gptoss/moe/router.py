"""Choose the top K experts of each token and weigh them; every device does it for itself.

Letters: T tokens, H hidden, E experts, K experts per token.
"""

from __future__ import annotations

from typing import Any

import ttnn

from gptoss.component import Component, flat, precise, reshape_like

__all__ = ["TopKRouter"]


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
        """Return weights [1, 1, T, E] for [1, 1, T, H]; decode is the same with T = 1."""
        logits = ttnn.linear(x, self.gate, bias=self.bias, compute_kernel_config=precise())
        top, experts = ttnn.topk(logits, k=self.config.num_experts_per_tok, dim=-1, sorted=True)
        weights = ttnn.softmax(top, dim=-1, numeric_stable=True)
        return ttnn.scatter(ttnn.zeros_like(logits), dim=-1, index=experts, src=weights)

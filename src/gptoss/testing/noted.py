"""Note which experts a component asks its weights for.

Letters: E experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from gptoss.weights import Weights, expert_tensor

__all__ = ["Noted"]


class Noted(Weights):
    """Weights that note in ``made`` which experts' down matrices were asked for, in order."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = weights
        self.made: list[int] = []

    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return one expert's tensor of the weights beneath."""
        if name.endswith("down_proj"):
            self.made.append(index)
        return expert_tensor(self.weights, name, index)

    def times(self) -> torch.Tensor:
        """Return how often each expert was made, [E]."""
        return torch.bincount(torch.tensor(self.made), minlength=len(self["model.layers.0.mlp.router.bias"]))

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

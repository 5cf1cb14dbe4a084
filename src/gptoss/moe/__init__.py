"""The mixture of experts of one layer: a router, and the experts that it chooses from."""

from __future__ import annotations

from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.moe.router import TopKRouter

__all__ = ["MLP", "Experts", "TopKRouter"]

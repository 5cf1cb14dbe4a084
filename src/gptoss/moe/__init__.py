"""The mixture of experts of one layer: a router, and the experts that it chooses from."""

from __future__ import annotations

from gptoss.moe.experts import Experts
from gptoss.moe.mlp import MLP
from gptoss.moe.router import Choice, TopKRouter
from gptoss.moe.throughput import ThroughputExperts

__all__ = ["MLP", "Choice", "Experts", "ThroughputExperts", "TopKRouter"]

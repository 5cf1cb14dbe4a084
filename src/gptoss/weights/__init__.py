"""Weights of a GPT-OSS model by their published names: made up from a seed, or read from a checkpoint."""

from __future__ import annotations

from gptoss.weights.base import Weights, expert_tensor, shapes, table_rows
from gptoss.weights.checkpoint import Checkpoint, CheckpointError
from gptoss.weights.dummy import DummyWeights

__all__ = ["Checkpoint", "CheckpointError", "DummyWeights", "Weights", "expert_tensor", "shapes", "table_rows"]

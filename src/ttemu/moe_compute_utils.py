"""Offer ``ttnn.experimental.moe_compute_utils``: its names, for a fused kernel that is not emulated."""

from __future__ import annotations

from ttemu import names

__all__: list[str] = []


def __getattr__(name: str) -> object:
    return names.missing("ttnn.experimental.moe_compute_utils", name)

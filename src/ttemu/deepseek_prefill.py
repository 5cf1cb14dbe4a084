"""Offer ``ttnn.experimental.deepseek_prefill``: its names, for fused kernels that are not emulated."""

from __future__ import annotations

from ttemu import names

__all__: list[str] = []


def __getattr__(name: str) -> object:
    return names.missing("ttnn.experimental.deepseek_prefill", name)

"""Offer ``ttnn.graph``: no graph is ever captured here."""

from __future__ import annotations

from ttemu import names

__all__ = ["is_graph_capture_active"]


def __getattr__(name: str) -> object:
    return names.missing("ttnn.graph", name)


def is_graph_capture_active() -> bool:
    """Return False: the emulator captures no graphs."""
    return False

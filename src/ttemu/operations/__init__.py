"""Offer ``ttnn.operations``, as far as models import from it."""

from __future__ import annotations

from ttemu.operations import ccl

__all__ = ["ccl"]

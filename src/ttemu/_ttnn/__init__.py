"""Offer ``ttnn._ttnn``, ttnn's compiled half, as far as models reach into it."""

from __future__ import annotations

from ttemu._ttnn import global_semaphore, multi_device

__all__ = ["global_semaphore", "multi_device"]

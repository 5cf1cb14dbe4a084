"""Offer ``ttnn._ttnn.global_semaphore``: the counters under the compiled half's name."""

from __future__ import annotations

from ttemu.collectives.semaphore import (
    GlobalSemaphore,
    create_global_semaphore,
    get_global_semaphore_address,
    reset_global_semaphore_value,
)

__all__ = [
    "create_global_semaphore",
    "get_global_semaphore_address",
    "global_semaphore",
    "reset_global_semaphore_value",
]

global_semaphore = GlobalSemaphore

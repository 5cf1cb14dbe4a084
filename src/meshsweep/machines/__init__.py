"""Describe a host: its chips and boards, what joins them, and where a mesh can be opened."""

from __future__ import annotations

from meshsweep.machines.machine import Chip, Machine

__all__ = ["Chip", "Machine"]

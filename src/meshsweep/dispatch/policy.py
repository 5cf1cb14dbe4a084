"""How a dispatch weighs its choices; which policy suits a set of tests is found by simulating several."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One way to order meshes and to share chips among them.

    ``order``: ``large`` takes the meshes of most chips first, ``tail`` those whose tests take
    longest even when they get every chip, ``long`` those with the longest test. Tests that take
    at least ``long_s`` seconds come before all others. A mesh is given the slots that it needs
    to be done at ``horizon_s``, before what is left is shared out; None gives it all that fit.
    """

    order: str = "large"
    long_s: float | None = None
    horizon_s: float | None = None

"""Seeds derived from a test's id: repeatable alone, different between tests."""

from __future__ import annotations

import hashlib
import random
import sys

__all__ = ["seed_everything", "seed_of"]


def seed_of(test: str, number: int = 0) -> int:
    """Return the seed of a test id, from 0 to 2**32 - 1; another ``number`` gives another seed."""
    drawn = f"{test}#{number}" if number else test
    return int.from_bytes(hashlib.sha256(drawn.encode()).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed ``random``, and numpy and torch where something has imported them."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)

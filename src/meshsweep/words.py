"""Small words that several outputs share."""

from __future__ import annotations

__all__ = ["count"]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 test`` or ``2 tests``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"

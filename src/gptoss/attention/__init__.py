"""Attention of one layer, with the rotation of positions before it and the cache of past tokens behind it."""

from __future__ import annotations

from gptoss.attention.attention import Attention
from gptoss.attention.kv_cache import KVCache
from gptoss.attention.rope import Rope

__all__ = ["Attention", "KVCache", "Rope"]

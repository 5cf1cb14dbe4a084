"""Attention of one layer, with the rotation of positions before it and the cache of past tokens behind it."""

from __future__ import annotations

from gptoss.attention.attention import Attention
from gptoss.attention.kv_cache import KVCache
from gptoss.attention.page_table import PageTable
from gptoss.attention.paged_cache import PagedKVCache
from gptoss.attention.rope import Rope

__all__ = ["Attention", "KVCache", "PageTable", "PagedKVCache", "Rope"]

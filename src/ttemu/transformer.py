"""Offer ``ttnn.transformer``: attention for prefill and decode."""

from __future__ import annotations

from ttemu import names
from ttemu.attention.decode import scaled_dot_product_attention_decode
from ttemu.attention.paged_decode import paged_scaled_dot_product_attention_decode
from ttemu.attention.prefill import chunked_scaled_dot_product_attention, scaled_dot_product_attention
from ttemu.configs import SDPAProgramConfig

__all__ = [
    "SDPAProgramConfig",
    "chunked_scaled_dot_product_attention",
    "paged_scaled_dot_product_attention_decode",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_decode",
]


def __getattr__(name: str) -> object:
    return names.missing("ttnn.transformer", name)

"""Know which names ttnn has, so that what is not emulated says so instead of looking misspelt."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

__all__ = ["KNOWN", "missing"]

KNOWN: dict[str, frozenset[str]] = {
    "ttnn": frozenset(
        {
            "Profiler",
            "SocketConfig",
            "SocketConnection",
            "SocketMemoryConfig",
            "MeshCoreCoord",
            "MeshSocket",
            "all_broadcast",
            "all_to_all_combine",
            "all_to_all_dispatch",
            "begin_trace_capture",
            "broadcast",
            "conv1d",
            "conv2d",
            "end_trace_capture",
            "execute_trace",
            "generic_op",
            "graph",
            "group_norm",
            "max_pool2d",
            "moe",
            "moe_expert_token_remap",
            "point_to_point",
            "prelu",
            "release_trace",
            "sampling",
            "scatter_add",
            "sort",
            "tilize_with_val_padding",
            "tril",
            "triu",
            "untilize_with_unpadding",
            "upsample",
        }
    ),
    "ttnn.experimental": frozenset(
        {
            "all_gather_concat",
            "all_gather_matmul_async",
            "all_reduce_async",
            "all_to_all_dispatch_metadata",
            "conv3d",
            "deepseek_prefill",
            "fast_reduce_nc_fused",
            "llama_reduce_scatter",
            "matmul_reduce_scatter_async",
            "minimal_matmul_strided_reduce_scatter_async",
            "moe_gpt",
            "rotary_embedding",
            "rotary_embedding_llama_fused_qk",
            "selective_reduce_combine",
            "topk_router_gpt",
        }
    ),
    "ttnn.transformer": frozenset(
        {
            "attention_softmax",
            "attention_softmax_",
            "chunked_scaled_dot_product_attention",
            "concatenate_heads",
            "flash_mla_prefill",
            "joint_scaled_dot_product_attention",
            "paged_flash_multi_latent_attention_decode",
            "ring_joint_scaled_dot_product_attention",
            "split_query_key_value_and_split_heads",
            "windowed_scaled_dot_product_attention",
        }
    ),
}
"""Names of each ttnn module that exist there and are not emulated."""


def missing(module: str, name: str) -> Callable[..., NoReturn]:
    """Return a callable that names the op it does not emulate; an unknown name is an AttributeError."""
    if name not in KNOWN.get(module, ()):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    full = f"{module}.{name}"

    def not_emulated(*args: object, **kwargs: object) -> NoReturn:
        del args, kwargs
        raise NotImplementedError(f"{full} is not emulated; run it with the real ttnn")

    not_emulated.__name__ = not_emulated.__qualname__ = name
    return not_emulated

"""Name the ops of the emulator that no golden function of ttnn's speaks for, and say why."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

__all__ = ["ABSENT", "BORROWED", "NOT_ATTACHED", "offered"]

BORROWED = {
    "experimental.all_gather_async": "all_gather",
    "experimental.fast_reduce_nc": "sum",
    "experimental.minimal_matmul": "linear",
    "experimental.reduce_scatter_minimal_async": "reduce_scatter",
}
"""Ops without a golden function that compute what another one does."""

NOT_ATTACHED = "ttnn attaches no golden function to it; it is tested in tests/ttemu"
_NO_VALUES = "has no numbers to compare"
_UNDEFINED = "the numbers of fresh memory are not defined"
_OWN_FILES = "reads and writes files whose format is each library's own"

ABSENT = {
    "allocate_tensor_on_device": _UNDEFINED,
    "copy_host_to_device_tensor": "its golden function returns nothing, as the op does",
    "deallocate": _NO_VALUES,
    "dump_tensor": _OWN_FILES,
    "empty": _UNDEFINED,
    "empty_like": _UNDEFINED,
    "experimental.minimal_matmul_strided_reduce_scatter_async": NOT_ATTACHED,
    "experimental.nlp_concat_heads": NOT_ATTACHED,
    "experimental.nlp_concat_heads_decode": NOT_ATTACHED,
    "experimental.nlp_create_qkv_heads": NOT_ATTACHED,
    "experimental.nlp_create_qkv_heads_decode": NOT_ATTACHED,
    "experimental.paged_fill_cache": NOT_ATTACHED,
    "experimental.paged_update_cache": NOT_ATTACHED,
    "experimental.rotary_embedding_llama": NOT_ATTACHED,
    "experimental.topk_router_gpt": NOT_ATTACHED,
    "get_device_tensors": "host conversions compare it bit for bit",
    "is_tensor_storage_on_device": _NO_VALUES,
    "load_tensor": _OWN_FILES,
    "manual_seed": _NO_VALUES,
    "sampling": "it draws at random; its golden function states a shape only",
}
"""Ops without a row among the golden functions, and the reason."""

_MODULES = ("", "experimental.", "transformer.")


def offered(library: ModuleType) -> set[str]:
    """Return the dotted names of a library's ops: the public functions that take or return a tensor."""
    names = set()
    for prefix in _MODULES:
        module = getattr(library, prefix[:-1]) if prefix else library
        functions = {name: getattr(module, name) for name in module.__all__}
        names |= {prefix + name for name, value in functions.items() if inspect.isfunction(value) and _is_op(value)}
    return names


def _is_op(function: object) -> bool:
    signature = inspect.signature(function)  # type: ignore[arg-type]  # a function, as its caller saw
    kinds = [signature.return_annotation, *(item.annotation for item in signature.parameters.values())]
    return any(re.search(r"\bTensor\b", str(kind)) for kind in kinds)

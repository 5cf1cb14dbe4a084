"""Say in one line what a call gave: shapes, dtypes, layouts, memory configs, or the error and its cause."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch

from tests.fidelity.causes import cause, message

__all__ = ["CRASH", "Outcome", "outcome", "place"]

#: What a call gave that ended the real library's process, and what the emulator's error must say about it.
CRASH = "the process ends"


class Outcome(NamedTuple):
    """What is compared, and an error's own words for whoever has to find out why it differs."""

    text: str
    words: str = ""


def outcome(ttnn: ModuleType, names: dict[str, Any], call: str) -> Outcome:
    """Return what ``call`` gives."""
    try:
        return Outcome(_describe(ttnn, eval(call, names)))
    except Exception as error:  # noqa: BLE001 - any error is an outcome
        words = message(str(error))
        kind, why = type(error).__name__, cause(str(error))
        return Outcome(CRASH if why == "crash" else f"{kind}: {why}", words)


def place(config: Any) -> str:
    """Return buffer type, memory layout unless interleaved, and the shards."""
    buffer, layout = _last(config.buffer_type), _last(config.memory_layout)
    text = buffer if layout == "INTERLEAVED" else f"{buffer} {layout}"
    spec = config.shard_spec
    return text if spec is None else f"{text} {list(spec.shape)} on {spec.grid.num_cores()} cores"


def _describe(ttnn: ModuleType, value: Any) -> str:
    if isinstance(value, ttnn.Tensor):
        shape, padded = list(value.shape), list(value.padded_shape)
        parts = [str(shape), *([f"padded {padded}"] if padded != shape else [])]
        where = "host" if value.device() is None else place(value.memory_config())
        return " ".join([*parts, _last(value.dtype), _last(value.layout), where])
    if isinstance(value, torch.Tensor):
        return f"torch {list(value.shape)} {_last(value.dtype)}"
    if isinstance(value, (list, tuple)):
        return f"[{'; '.join(_describe(ttnn, item) for item in value)}]"
    plain = isinstance(value, (int, float, str, bool, type(None)))
    return repr(value) if plain else f"a {type(value).__name__}"


def _last(name: object) -> str:
    return str(name).rsplit(".", 1)[-1]

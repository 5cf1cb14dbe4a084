"""Write a small model as Hugging Face publishes one: config.json, an index and safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from gptoss.config import GptOssConfig
from gptoss.weights import hf_config, mxfp4
from gptoss.weights.checkpoint import INDEX, SINGLE
from gptoss.weights.safetensors import DTYPES

__all__ = ["write"]


def write(
    directory: Path,
    config: GptOssConfig,
    weights: Mapping[str, torch.Tensor],
    *,
    packed: bool = False,
    files: int = 2,
) -> None:
    """Write weights as bfloat16, experts as MXFP4 if ``packed``, over several files or one without an index."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / hf_config.CONFIG).write_text(json.dumps(hf_config.to_json(config, packed=packed), indent=2))
    stored = _stored(weights, packed=packed)
    if files == 1:
        _write_file(directory / SINGLE, stored)
        return
    places: dict[str, str] = {}
    names = sorted(stored)
    for part in range(files):
        file = f"model-{part + 1:05d}-of-{files:05d}.safetensors"
        chosen = names[part::files]
        _write_file(directory / file, {name: stored[name] for name in chosen})
        places |= dict.fromkeys(chosen, file)
    total = sum(tensor.nbytes for tensor in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (directory / INDEX).write_text(json.dumps(index, indent=2))


def _stored(weights: Mapping[str, torch.Tensor], *, packed: bool) -> dict[str, torch.Tensor]:
    """Return every tensor as it is stored, in order of names."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in sorted(weights.items()):
        if packed and name.endswith(("gate_up_proj", "down_proj")):
            stored[f"{name}_blocks"], stored[f"{name}_scales"] = mxfp4.pack(tensor)
        else:
            stored[name] = tensor.to(torch.bfloat16)
    return stored


def _write_file(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    codes = {dtype: code for code, dtype in DTYPES.items()}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        offsets = [offset, offset + tensor.nbytes]
        header[name] = {"dtype": codes[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            opened.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())

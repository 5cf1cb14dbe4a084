"""Read published weights from a directory of safetensors files, tensor by tensor.

Experts may be stored as bfloat16 or as MXFP4 blocks and scales; either way they come out as float32
[in, out], one expert at a time. Files are checked when the directory is opened, before any weight is read.
Letters: E experts, H hidden, I intermediate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from gptoss.config import GptOssConfig
from gptoss.weights import mxfp4
from gptoss.weights.base import Weights, shapes

__all__ = ["Checkpoint", "CheckpointError", "Entry", "write"]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U8": torch.uint8,
}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, with every fault that was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where one tensor lies: its file, dtype, shape and first byte."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return prod(self.shape) * self.dtype.itemsize

    def read(self, index: int | None = None) -> torch.Tensor:
        """Return the tensor, or its slice ``index`` along the first dim."""
        shape, start, size = self.shape, self.start, self.size_bytes
        if index is not None:
            shape, size = shape[1:], size // shape[0]
            start += index * size
        with self.file.open("rb") as file:
            file.seek(start)
            data = bytearray(file.read(size))
        return torch.frombuffer(data, dtype=self.dtype).reshape(shape)


class Checkpoint(Weights):
    """The weights of one model, read from ``directory`` as they are asked for."""

    def __init__(self, directory: Path, config: GptOssConfig) -> None:
        self.directory = directory
        self._shapes = shapes(config)
        self._entries = _entries(directory)
        _check(self._entries, self._shapes, directory)

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self._shapes[name]
        if f"{name}_blocks" in self._entries:
            return torch.stack([self.expert(name, e) for e in range(shape[0])])
        return self._entries[name].read().float()

    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return one expert's [in, out] weight or [out] bias, unpacked."""
        if name not in self._shapes:
            raise KeyError(name)
        if f"{name}_blocks" not in self._entries:
            return self._entries[name].read(index).float()
        blocks = self._entries[f"{name}_blocks"].read(index)
        return mxfp4.unpack(blocks, self._entries[f"{name}_scales"].read(index))

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _entries(directory: Path) -> dict[str, Entry]:
    """Return every tensor of the directory, after checking that its files hold it."""
    index, single = directory / INDEX, directory / SINGLE
    if not index.exists():
        if not single.exists():
            raise CheckpointError(f"{directory}: no {INDEX} and no {SINGLE}; name a checkpoint")
        return _header(single)
    places: dict[str, str] = json.loads(index.read_text())["weight_map"]
    headers = {name: _header(directory / name) for name in sorted(set(places.values()))}
    missing = [
        f"{directory / file}: tensor {name} is in {INDEX} but not in the file"
        for name, file in sorted(places.items())
        if name not in headers[file]
    ]
    if missing:
        raise CheckpointError("\n".join(missing))
    return {name: headers[file][name] for name, file in places.items()}


def _header(file: Path) -> dict[str, Entry]:
    """Return the tensors that a safetensors header lists: 8 bytes of length, then JSON."""
    if not file.exists():
        raise CheckpointError(f"{file}: missing, but {INDEX} names it; fetch it again")
    total = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if 8 + length > total:
            raise CheckpointError(f"{file}: {total} bytes, but its header alone has {length}; it is truncated")
        listed = json.loads(opened.read(length))
    listed.pop("__metadata__", None)
    return {name: _entry(file, name, at, 8 + length, total) for name, at in listed.items()}


def _entry(file: Path, name: str, at: Mapping[str, Any], base: int, total: int) -> Entry:
    if at["dtype"] not in _DTYPES:
        raise CheckpointError(f"{file}: tensor {name} has dtype {at['dtype']}; expected one of {', '.join(_DTYPES)}")
    start, end = (base + offset for offset in at["data_offsets"])
    entry = Entry(file=file, dtype=_DTYPES[at["dtype"]], shape=tuple(at["shape"]), start=start)
    if end > total or end - start != entry.size_bytes:
        raise CheckpointError(
            f"{file}: tensor {name} expected {entry.size_bytes} bytes at {start}, "
            f"found {max(min(end, total) - start, 0)}; the file is truncated"
        )
    return entry


def _check(entries: Mapping[str, Entry], wanted: Mapping[str, tuple[int, ...]], directory: Path) -> None:
    """Raise with every tensor that is absent or has another shape."""
    faults = []
    for name, shape in wanted.items():
        stored = _stored_shapes(name, shape) if f"{name}_blocks" in entries else {name: shape}
        for part, expected in stored.items():
            if part not in entries:
                faults.append(f"{directory}: tensor {part} expected with shape {list(expected)}, found none")
            elif entries[part].shape != expected:
                faults.append(
                    f"{entries[part].file}: tensor {part} expected shape {list(expected)}, "
                    f"found {list(entries[part].shape)}"
                )
    if faults:
        raise CheckpointError("\n".join(faults))


def _stored_shapes(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the MXFP4 blocks and scales of a tensor [E, in, out]."""
    experts, inputs, outputs = shape
    blocks = (experts, outputs, inputs // mxfp4.BLOCK)
    return {f"{name}_blocks": (*blocks, mxfp4.BLOCK // 2), f"{name}_scales": blocks}


def write(directory: Path, weights: Mapping[str, torch.Tensor], *, packed: bool = False, files: int = 2) -> None:
    """Write weights as bfloat16 safetensors files with an index, experts as MXFP4 if ``packed``."""
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if packed and name.endswith(("gate_up_proj", "down_proj")):
            stored[f"{name}_blocks"], stored[f"{name}_scales"] = mxfp4.pack(tensor)
        else:
            stored[name] = tensor.to(torch.bfloat16)
    directory.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    names = sorted(stored)
    for part in range(files):
        file = f"model-{part + 1:05d}-of-{files:05d}.safetensors"
        chosen = names[part::files]
        _write_file(directory / file, {name: stored[name] for name in chosen})
        places |= dict.fromkeys(chosen, file)
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _write_file(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    header, offset = {}, 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            opened.write(tensor.contiguous().view(torch.uint8).numpy().tobytes())

"""Read single tensors out of safetensors files: 8 bytes of length, a JSON header, then the values.

A header is checked against its file before any value is read, and a file that changes afterwards is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import torch

__all__ = ["DTYPES", "CheckpointError", "Entry", "StoredFile", "read_header"]

DTYPES: Mapping[str, torch.dtype] = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U8": torch.uint8,
}
"""What the format calls the dtypes that a model of this kind is stored in."""

_LENGTH_BYTES = 8
# The format's own limit; more is 8 bytes of something else.
_HEADER_LIMIT_BYTES = 100_000_000


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, with every fault that was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file as it was when its header was read."""

    path: Path
    size_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int
    values_at: int
    header_digest: str

    def read(self, start: int, size_bytes: int, name: str) -> bytearray:
        """Return ``size_bytes`` from ``start``, which tensor ``name`` was said to hold."""
        data = bytearray(size_bytes)
        try:
            with self.path.open("rb") as opened:
                stat = os.fstat(opened.fileno())
                opened.seek(start)
                found = opened.readinto(data)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: tensor {name} cannot be read: {error.strerror}; "
                "the file has changed since it was opened: fetch it again and start again"
            ) from error
        # The time of the last write can be set back; that of the last change and the inode cannot.
        now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if now != (self.size_bytes, self.modified_ns, self.changed_ns, self.inode) or found != size_bytes:
            raise CheckpointError(
                f"{self.path}: tensor {name} expected in a file of {self.size_bytes} bytes, found {stat.st_size}; "
                "the file has changed since it was opened: start again"
            )
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where one tensor lies: its file, dtype, shape and first byte."""

    name: str
    file: StoredFile
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole tensor."""
        return prod(self.shape) * self.dtype.itemsize

    def read(self, index: int | None = None) -> torch.Tensor:
        """Return the tensor, or its slice ``index`` along the first dim."""
        shape, start, size_bytes = self.shape, self.start, self.size_bytes
        if index is not None:
            shape, size_bytes = shape[1:], size_bytes // shape[0]
            start += range(self.shape[0])[index] * size_bytes
        data = self.file.read(start, size_bytes, self.name)
        return torch.frombuffer(data, dtype=self.dtype).reshape(shape)


def read_header(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """Return the tensors that a file holds, and every fault that its header has."""
    try:
        with path.open("rb") as opened:
            file, listed = _listed(path, opened)
    except OSError as error:
        return {}, [f"{path}: cannot be read: {error.strerror}; fetch it again"]
    except ValueError as error:
        return {}, [f"{path}: {error}"]
    entries, faults = {}, []
    for name, at in listed.items():
        try:
            entries[name] = _entry(file, name, at)
        except ValueError as error:
            faults.append(f"{path}: tensor {name} {error}")
    return entries, faults or _untiled(file, entries.values())


def _untiled(file: StoredFile, entries: Iterable[Entry]) -> list[str]:
    """Return where tensors overlap, or leave bytes between them or at the end, all of which the format forbids."""
    end, before, faults = file.values_at, "the header", []
    for entry in sorted(entries, key=lambda entry: (entry.start, entry.size_bytes)):
        if entry.start != end:
            faults.append(
                f"{file.path}: tensor {entry.name} expected at {end}, where {before} ends, found at {entry.start}; "
                "offsets leave no gap and share no byte: fetch it again"
            )
        end, before = entry.start + entry.size_bytes, entry.name
    if end != file.size_bytes and not faults:
        faults = [f"{file.path}: expected {end} bytes, where {before} ends, found {file.size_bytes}; fetch it again"]
    return faults


def _listed(path: Path, opened: BinaryIO) -> tuple[StoredFile, dict[str, Any]]:
    """Return the file and what its header lists."""
    stat = os.fstat(opened.fileno())
    length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
    if not 0 < length <= _HEADER_LIMIT_BYTES:
        raise ValueError(f"a header of {length} bytes is none of safetensors; the file is empty or something else")
    if stat.st_size < _LENGTH_BYTES + length:
        raise ValueError(f"{stat.st_size} bytes, but its header alone has {length}; it is truncated")
    text = opened.read(length)
    try:
        listed = json.loads(text.decode())
    except ValueError as error:
        raise ValueError(f"its header is not JSON in UTF-8 ({error}); fetch it again") from error
    if not isinstance(listed, dict):
        raise ValueError(f"its header holds a {type(listed).__name__}, expected a table of tensors")  # noqa: TRY004
    listed.pop("__metadata__", None)
    file = StoredFile(
        path=path,
        size_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        changed_ns=stat.st_ctime_ns,
        inode=stat.st_ino,
        values_at=_LENGTH_BYTES + length,
        header_digest=hashlib.blake2b(text, digest_size=16).hexdigest(),
    )
    return file, listed


def _entry(file: StoredFile, name: str, at: Any) -> Entry:
    base = file.values_at
    dtype, shape, start, end = _fields(at)
    if dtype not in DTYPES:
        raise ValueError(f"has dtype {dtype}; expected one of {', '.join(DTYPES)}")
    entry = Entry(name=name, file=file, dtype=DTYPES[dtype], shape=shape, start=base + start)
    if end - start != entry.size_bytes:
        raise ValueError(f"expected {entry.size_bytes} bytes for {dtype} {list(shape)}, found {end - start}")
    if base + end > file.size_bytes:
        found = max(file.size_bytes - entry.start, 0)
        raise ValueError(f"expected {entry.size_bytes} bytes at {entry.start}, found {found}; the file is truncated")
    return entry


def _fields(at: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Return dtype, shape and the two offsets of a header's entry, once they are of the right kinds."""
    try:
        dtype, shape, (start, end) = at["dtype"], tuple(at["shape"]), at["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"has entry {at!r}; expected dtype, shape and two data_offsets") from None
    numbers = [*shape, start, end]
    if not isinstance(dtype, str) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"has entry {at!r}; expected a dtype's name and whole numbers")
    return dtype, shape, start, end

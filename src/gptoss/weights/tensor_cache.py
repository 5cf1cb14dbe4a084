"""Keep packed tensors of weights on disk, so that the next process neither makes nor converts them again.

An entry is a small JSON file, which holds the whole key and names the file of the values by what that file holds.
Both are written elsewhere and moved into place, so that a reader finds all of an entry or none of it, however many
fill the cache at once. What does not fit its key, size or checksum is made anew. No entry is ever deleted: the
directory may be, at any time that nobody uses it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ttnn
from loguru import logger

import gptoss

__all__ = ["TensorCache", "at", "code_digest", "digest_of"]

_CHUNK_BYTES = 1 << 22
_PREFIX = ".filling-"
# What is still being written after this long was left behind by a process that was killed.
_ABANDONED_S = 3600.0


class TensorCache:
    """Host tensors of ttnn by key; a key is what JSON can hold and must name all that the values depend on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._is_writable = True
        self._is_swept = False

    def get(self, key: Mapping[str, object], make: Callable[[], Any]) -> Any:
        """Return the tensor kept under ``key``; where there is none, what ``make`` returns, kept from now on."""
        full = json.loads(json.dumps(dict(key)))
        entry = self.directory / _entry_name(full)
        found = self._find(entry, full)
        if found is not None:
            return ttnn.load_tensor(str(found))
        made = make()
        if self._is_writable:
            self._keep(entry, full, made)
        return made

    def _find(self, entry: Path, key: Mapping[str, object]) -> Path | None:
        """Return the file of an entry's values, if all of it is there."""
        try:
            record = json.loads(entry.read_text(encoding="utf-8"))
            file = self.directory / Path(record["file"]).name
            is_whole = record["key"] == key and file.stat().st_size == record["size_bytes"]
            return file if is_whole and _checksum(file) == record["crc32"] else None
        # A file of another kind is as good as none.
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, entry: Path, key: Mapping[str, object], tensor: Any) -> None:
        """Write an entry, or say once that it cannot be."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.directory, prefix=_PREFIX) as room:
                self._sweep(Path(room))
                self._write(Path(room), entry, key, tensor)
        # ttnn reports a full disk as a RuntimeError.
        except (OSError, RuntimeError) as error:
            self._is_writable = False
            reason, *_ = str(error).splitlines() or [repr(error)]
            logger.warning("{}: no longer filled: {}; the run goes on without it", self.directory, reason)

    def _sweep(self, room: Path) -> None:
        """Remove, once, what killed processes left: rooms much older than the one just made."""
        if self._is_swept:
            return
        self._is_swept = True
        now = room.stat().st_mtime
        for other in self.directory.glob(f"{_PREFIX}*"):
            # Another process may have been quicker.
            with contextlib.suppress(OSError):
                if now - other.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(other)

    def _write(self, room: Path, entry: Path, key: Mapping[str, object], tensor: Any) -> None:
        values, about = room / "values.tensorbin", room / "entry.json"
        ttnn.dump_tensor(str(values), tensor)
        name = f"{_digest(values)}.tensorbin"
        record = {"key": key, "file": name, "size_bytes": values.stat().st_size, "crc32": _checksum(values)}
        about.write_text(json.dumps(record, indent=1), encoding="utf-8")
        values.replace(self.directory / name)
        about.replace(entry)


@functools.cache
def at(directory: Path) -> TensorCache:
    """Return the one cache of a directory that this process has."""
    return TensorCache(directory)


@functools.cache
def code_digest() -> str:
    """Return a digest of the code that makes, cuts and packs weights: the model's own and ttnn's."""
    return digest_of(Path(gptoss.__file__).parent, Path(str(ttnn.__file__)).parent)


def digest_of(model: Path, library: Path) -> str:
    """Return a digest of a model's package and of the top of a library's, where its conversions are."""
    digest = hashlib.blake2b(digest_size=16)
    for path in (*sorted(model.rglob("*.py")), *sorted(library.glob("*.py"))):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    for path in sorted(library.glob("*.so")):
        # Hundreds of megabytes: an installed library is told by its size and time.
        digest.update(f"{path.name}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def _entry_name(key: Mapping[str, object]) -> str:
    text = json.dumps(key, sort_keys=True).encode()
    return f"{key['tensor']}-{hashlib.blake2b(text, digest_size=12).hexdigest()}.json"


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        for chunk in _chunks(opened):
            digest.update(chunk)
    return digest.hexdigest()[:32]


def _checksum(file: Path) -> int:
    """Return the CRC-32 of a file, which tells a torn one from a whole one at a quarter of the cost of a digest."""
    crc = 0
    with file.open("rb") as opened:
        for chunk in _chunks(opened):
            crc = zlib.crc32(chunk, crc)
    return crc


def _chunks(opened: BinaryIO) -> Any:
    return iter(functools.partial(opened.read, _CHUNK_BYTES), b"")

"""Read published weights from a Hugging Face directory, tensor by tensor.

Experts may be stored as bfloat16 or as MXFP4 blocks and scales, which bfloat16 holds exactly; either way they come
out as [in, out], one expert at a time. Sizes, names, shapes and files are checked when the directory is opened.
Letters: E experts, H hidden, I intermediate.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gptoss.config import ConfigError, GptOssConfig
from gptoss.weights import hf_config, mxfp4
from gptoss.weights.base import Shape, Weights, shapes
from gptoss.weights.safetensors import DTYPES, CheckpointError, Entry, read_header

__all__ = ["INDEX", "SINGLE", "Checkpoint", "CheckpointError", "OtherModelError"]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class OtherModelError(CheckpointError):
    """A checkpoint whose config.json describes another model than the one asked for."""


class Checkpoint(Weights):
    """The weights of one model, read from ``directory`` as they are asked for."""

    def __init__(self, directory: Path, config: GptOssConfig) -> None:
        self.directory = directory
        self._shapes = shapes(config)
        _check_sizes(directory, config)
        found = _Listing.of(directory)
        found.check(self._shapes)
        if found.faults:
            raise CheckpointError("\n".join(found.faults))
        self._entries = found.entries

    @property
    def identity(self) -> Mapping[str, object]:
        """What tells these weights from all others: their directory, and each file's size, times and header."""
        files = {entry.file.path.name: entry.file for entry in self._entries.values()}
        stamps = {
            name: [file.size_bytes, file.modified_ns, file.changed_ns, file.header_digest]
            for name, file in sorted(files.items())
        }
        return {"directory": str(self.directory.resolve()), "files": stamps}

    @property
    def source(self) -> str:
        """Where these weights come from: the directory's name, and a digest of what tells it from others."""
        told = json.dumps(self.identity["files"], sort_keys=True).encode()
        return f"{self.directory.resolve().name} {hashlib.blake2b(told, digest_size=8).hexdigest()}"

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self._shapes[name]
        if f"{name}_blocks" not in self._entries:
            return self._entries[name].read()
        stack = torch.empty(shape, dtype=torch.bfloat16)
        for index, room in enumerate(stack):
            self._unpack(name, index, room)
        return stack

    def expert(self, name: str, index: int) -> torch.Tensor:
        """Return one expert's [in, out] weight or [out] bias, unpacked."""
        if name not in self._shapes:
            raise KeyError(name)
        if f"{name}_blocks" not in self._entries:
            return self._entries[name].read(index)
        return self._unpack(name, index)

    def rows(self, name: str, indices: Sequence[int]) -> torch.Tensor:
        """Return rows of a table, [N, H], each read alone."""
        if f"{name}_blocks" in self._entries:
            return super().rows(name, indices)
        return torch.stack([self._entries[name].read(index) for index in indices])

    def _unpack(self, name: str, index: int, out: torch.Tensor | None = None) -> torch.Tensor:
        blocks, scales = (self._entries[part].read(index) for part in _packed_names(name))
        return mxfp4.unpack(blocks, scales, out)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _check_sizes(directory: Path, config: GptOssConfig) -> None:
    """Raise where a directory's config.json describes another model than ``config``."""
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such directory; name one that holds {hf_config.CONFIG} and {INDEX}")
    try:
        faults = hf_config.differences(directory, config)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if faults:
        raise OtherModelError("\n".join(faults))


@dataclass(slots=True, kw_only=True)
class _Listing:
    """The tensors that a directory's files hold, every fault found so far, and names that a fault accounts for."""

    directory: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, directory: Path) -> _Listing:
        """Read the index, if there is one, and the headers of all files."""
        listing = cls(directory=directory)
        if (directory / INDEX).exists():
            listing._read_index()
        elif (directory / SINGLE).exists():
            listing.entries, listing.faults = read_header(directory / SINGLE)
        else:
            listing.faults = [f"{directory}: no {INDEX} and no {SINGLE}; name a checkpoint"]
        return listing

    def _read_index(self) -> None:
        try:
            places = _places(self.directory / INDEX)
        except ValueError as error:
            self.faults = [f"{self.directory / INDEX}: {error}"]
            return
        for file in sorted(set(places.values())):
            self._read_file(self.directory / file, [name for name in places if places[name] == file])

    def _read_file(self, path: Path, names: list[str]) -> None:
        """Take in the tensors ``names``, which the index places in this file."""
        if not path.exists():
            self.faults.append(f"{path}: missing, but {INDEX} names it; fetch it again")
            self.explained.update(names)
            return
        entries, faults = read_header(path)
        self.faults += faults
        self.explained.update(names if faults else [])
        self.entries |= {name: entries[name] for name in names if name in entries}
        if not faults:
            self.faults += [
                f"{path}: tensor {name} is in {INDEX} but not in the file; fetch both again"
                for name in names
                if name not in entries
            ]

    def check(self, wanted: Mapping[str, Shape]) -> None:
        """Add a fault for every tensor that is absent, or of another shape or kind."""
        if not self.entries and self.faults:
            return
        for name, shape in wanted.items():
            packed = len(shape) > 1 and any(
                part in self.entries or part in self.explained for part in _packed_names(name)
            )
            stored = _packed_shapes(name, shape) if packed else {name: shape}
            for part, expected in stored.items():
                self._check_one(part, expected, {torch.uint8} if packed else _FLOATS, wanted)

    def _check_one(self, name: str, shape: Shape, dtypes: set[torch.dtype], wanted: Mapping[str, Shape]) -> None:
        entry = self.entries.get(name)
        if entry is None:
            if name not in self.explained:
                self.faults.append(self._absent(name, shape, wanted))
            return
        where = f"{entry.file.path}: tensor {name} expected"
        if entry.shape != shape:
            self.faults.append(
                f"{where} shape {list(shape)}, found {list(entry.shape)}; "
                f"it does not fit {hf_config.CONFIG}: fetch both again"
            )
        if entry.dtype not in dtypes:
            self.faults.append(
                f"{where} dtype {_codes(dtypes)}, found {_codes({entry.dtype})}; "
                "write it in what was expected, or fetch it again"
            )

    def _absent(self, name: str, shape: Shape, wanted: Mapping[str, Shape]) -> str:
        strangers = [other for other in self.entries if other not in wanted]
        near = [self.entries[like] for like in difflib.get_close_matches(name, strangers, n=1)]
        hint = f", but {near[0].file.path.name} holds {near[0].name} of shape {list(near[0].shape)}" if near else ""
        remedy = "rename it there" if near else "fetch them again"
        where = _listed({entry.file.path.name for entry in self.entries.values()})
        return (
            f"{self.directory}: tensor {name} expected with shape {list(shape)}, found none in {where}{hint}; {remedy}"
        )


_FLOATS = {torch.bfloat16, torch.float16, torch.float32}


def _listed(files: Iterable[str], shown: int = 3) -> str:
    """Return the first files by name, and how many there are besides."""
    names = sorted(files)
    more = [f"{len(names) - shown} more files"] if len(names) > shown else []
    return ", ".join([*names[:shown], *more])


def _codes(dtypes: set[torch.dtype]) -> str:
    return " or ".join(code for code, dtype in DTYPES.items() if dtype in dtypes)


def _places(index: Path) -> dict[str, str]:
    """Return the file of each tensor, as an index names it."""
    try:
        record = json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"not JSON in UTF-8 ({error}); fetch it again") from error
    places = record.get("weight_map") if isinstance(record, dict) else None
    if not isinstance(places, dict) or not places:
        raise ValueError("no weight_map; expected a table of tensors and their files")
    wrong = [name for name, file in places.items() if not isinstance(file, str) or Path(file).name != file]
    if wrong:
        raise ValueError(f"places {wrong[0]} in {places[wrong[0]]!r}; expected a file beside the index")
    return dict(sorted(places.items()))


def _packed_names(name: str) -> tuple[str, str]:
    return f"{name}_blocks", f"{name}_scales"


def _packed_shapes(name: str, shape: Shape) -> dict[str, Shape]:
    """Return the shapes of the MXFP4 blocks and scales of a tensor [.., in, out]."""
    *experts, inputs, outputs = shape
    scales = (*experts, outputs, inputs // mxfp4.BLOCK)
    return dict(zip(_packed_names(name), ((*scales, mxfp4.BLOCK // 2), scales), strict=True))

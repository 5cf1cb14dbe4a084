"""Record who holds which chips when, so that it can be checked from outside that no two did at once.

A line is written while the lock is held: after it was taken, before it is let go. So the order of lines is the order
of events. A killed process leaves no line; who takes its chips looks whether it is dead, and writes that down.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from meshsweep.leases.process import Process

__all__ = ["Record", "overlaps"]


class Record:
    """Appends to the log of owners, if there is to be one; knows its own lines by a mark."""

    def __init__(self, path: Path | None, machine: str) -> None:
        self._path = path
        self._machine = machine
        self._mark = secrets.token_hex(4)

    def take(self, kind: str, chips: Collection[int]) -> None:
        """Record that chips are held from now on, and which of their former owners have died."""
        if self._path is not None and chips:
            dead = [owner for owner in self._owners(kind, chips) if not owner.is_alive()]
            self._write("take", kind, chips, dead=[[owner.pid, owner.started] for owner in dead])

    def release(self, kind: str, chips: Collection[int]) -> None:
        """Record that chips are held no more."""
        if self._path is not None and chips:
            self._write("release", kind, chips)

    def _owners(self, kind: str, chips: Collection[int]) -> set[Process]:
        """Return who took some of ``chips`` and never gave them back."""
        assert self._path is not None
        owners: dict[int, Process] = {}
        for line in _read(self._path):
            if (line["machine"], line["kind"]) == (self._machine, kind):
                owner = Process(pid=line["pid"], started=line["started"])
                for chip in set(chips) & set(line["chips"]):
                    if line["do"] == "take":
                        owners[chip] = owner
                    else:
                        owners.pop(chip, None)
        return set(owners.values())

    def _write(self, do: str, kind: str, chips: Collection[int], **more: object) -> None:
        assert self._path is not None
        process = Process.current()
        line = {
            "t": time.monotonic(),
            "do": do,
            "kind": kind,
            "machine": self._machine,
            "chips": sorted(chips),
            "pid": process.pid,
            "started": process.started,
            "mark": self._mark,
            **more,
        }
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # A break before too: a line that was torn by a kill takes no other with it.
            os.write(file, b"\n" + json.dumps(line, separators=(",", ":")).encode() + b"\n")
        finally:
            os.close(file)


def overlaps(path: Path) -> tuple[str, ...]:
    """Return what in a log contradicts that a chip has one owner at a time; empty where nothing does."""
    found = []
    owners: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line in _read(path):
        for chip in line["chips"]:
            key = (line["machine"], line["kind"], chip)
            owner = owners.get(key)
            if line["do"] == "take":
                if owner is not None and [owner["pid"], owner["started"]] not in line["dead"]:
                    found.append(f"{_name(key)}: taken by {_who(line)} while {_who(owner)} had it")
                owners[key] = line
            elif owner is None or owner["mark"] != line["mark"]:
                found.append(f"{_name(key)}: given back by {_who(line)}, who did not have it")
            else:
                del owners[key]
    return tuple(found)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from _parsed(path.read_bytes().split(b"\n"))


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "do" in line:
            yield line


def _name(key: tuple[str, str, int]) -> str:
    machine, kind, chip = key
    return f"{machine} chip {chip} ({kind})"


def _who(line: dict[str, Any]) -> str:
    return f"pid {line['pid']} at {line['t']:.6f}"

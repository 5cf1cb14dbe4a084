"""A compiler that compiles nothing, for devices that execute nothing.

On a mock cluster ttnn still builds every kernel with Tenstorrent's RISC-V compiler, and
looks only at the files that come out. This program answers ``--version`` and writes the
smallest files that ttnn accepts. It is started for every kernel, so it imports little, and
nothing of ours: ``meshsweep.toolchain`` puts a copy of it where ttnn looks.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["NAME", "kernel", "main"]

NAME = "riscv-tt-elf-g++"
#: ttnn refuses a compiler that prints no version; it builds its firmware anew for another one.
_VERSION = f"{NAME} (tenstorrent/sfpi:7.89.0[1050]) 15.1.0"

_TEXT_AT, _DATA_AT = 0x10000, 0xFFB00000
_TEXT = struct.pack("<4I", 0x0080006F, 0x13, 0x8067, 0x13)  # j .+8; nop; ret; nop
_DATA = bytes(16)
_R_RISCV_JAL = 17
_HEADER_BYTES, _PROGRAM_BYTES, _SECTION_BYTES = 52, 32, 40


def main(arguments: Sequence[str]) -> int:
    """Do what ttnn asks of its compiler: a version, a precompiled header, an object, a kernel."""
    if "--version" in arguments:
        sys.stdout.write(_VERSION + "\n")
        return 0
    output = Path(arguments[arguments.index("-o") + 1])
    links = "-c" not in arguments and "-x" not in arguments
    output.write_bytes(kernel() if links else b"nothing")
    if "-MF" in arguments:
        # ttnn hashes what an object depends on, and wants the object named by its whole path.
        Path(arguments[arguments.index("-MF") + 1]).write_text(f"{output}:\n", encoding="utf-8")
    return 0


def kernel() -> bytes:
    """Return an ELF32 RISC-V executable with text, data and one relocation.

    ttnn refuses a kernel without relocations ("there are no relocation sections").
    """
    strings = b"\0_start\0target\0"
    symbols = b"".join(
        struct.pack("<IIIBBH", name, value, size, info, 0, section)
        for name, value, size, info, section in (
            (0, 0, 0, 0, 0),
            (8, _TEXT_AT + 8, 8, 0x02, 1),  # a local function
            (1, _TEXT_AT, 8, 0x12, 1),  # a global one
        )
    )
    relocations = struct.pack("<IIi", _TEXT_AT, 1 << 8 | _R_RISCV_JAL, 0)
    return _executable(
        [
            (".text", 1, 6, _TEXT_AT, _TEXT, 0, 0, 0),
            (".data", 1, 3, _DATA_AT, _DATA, 0, 0, 0),
            (".rela.text", 4, 0x40, 0, relocations, 4, 1, 12),
            (".symtab", 2, 0, 0, symbols, 5, 2, 16),
            (".strtab", 3, 0, 0, strings, 0, 0, 0),
        ]
    )


def _executable(sections: list[tuple[str, int, int, int, bytes, int, int, int]]) -> bytes:
    """Lay out sections (name, type, flags, address, content, link, info, entry size) as a file."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
    everything = [*sections, (".shstrtab", 3, 0, 0, names, 0, 0, 0)]
    body = bytes(-(_HEADER_BYTES + 2 * _PROGRAM_BYTES) % 16)
    start = _HEADER_BYTES + 2 * _PROGRAM_BYTES
    table = bytes(_SECTION_BYTES)
    offsets = []
    for name, kind, flags, address, content, link, info, entry in everything:
        offsets.append(start + len(body))
        where = names.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("<10I", where, kind, flags, address, offsets[-1], len(content), link, info, 16, entry)
        body += content + bytes(-len(content) % 16)
    header = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack(
            "<HHIIIIIHHHHHH",
            *(2, 243, 1, _TEXT_AT, _HEADER_BYTES, start + len(body), 0),
            *(_HEADER_BYTES, _PROGRAM_BYTES, 2, _SECTION_BYTES, len(everything) + 1, len(everything)),
        )
    )
    text = struct.pack("<8I", 1, offsets[0], _TEXT_AT, _TEXT_AT, len(_TEXT), len(_TEXT), 5, 16)
    # Loaded right behind the text, as the linker scripts lay it.
    behind = _TEXT_AT + len(_TEXT)
    data = struct.pack("<8I", 1, offsets[1], _DATA_AT, behind, len(_DATA), len(_DATA), 6, 16)
    return header + text + data + body + table


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

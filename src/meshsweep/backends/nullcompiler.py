"""A compiler that compiles nothing, for devices that execute nothing.

On a mock cluster ttnn still builds every kernel with Tenstorrent's RISC-V compiler, and looks only at the files that
come out. ``program`` is a shell program that answers ``--version`` and writes the smallest files that ttnn accepts.
ttnn starts it several times for each kernel, so it starts no other program: a Python would take twenty times as long.
"""

from __future__ import annotations

import struct

__all__ = ["MARK", "NAME", "kernel", "program"]

NAME = "riscv-tt-elf-g++"
MARK = "# meshsweep's null compiler: what it is given is never executed."
#: ttnn refuses a compiler that prints no version; it builds its firmware anew for another one.
_VERSION = f"{NAME} (tenstorrent/sfpi:7.89.0[1050]) 15.1.0"
# ttnn hashes what an object depends on, and wants the object named by its whole path.
_PROGRAM = """#!/bin/sh
{mark}
links=1 output= depends=
while [ $# -gt 0 ]; do
    case "$1" in
        --version) printf '%s\\n' '{version}'; exit ;;
        -o) output=$2; shift ;;
        -MF) depends=$2; shift ;;
        -c | -x) links= ;;
    esac
    shift
done
if [ "$links" ]; then
    printf '{kernel}' > "$output" || exit
else
    printf 'nothing' > "$output" || exit
fi
if [ "$depends" ]; then
    printf '%s:\\n' "$output" > "$depends"
fi
"""

_TEXT_AT, _DATA_AT = 0x10000, 0xFFB00000
_TEXT = struct.pack("<4I", 0x0080006F, 0x13, 0x8067, 0x13)  # j .+8; nop; ret; nop
_DATA = bytes(16)
_R_RISCV_JAL = 17
_HEADER_BYTES, _PROGRAM_BYTES, _SECTION_BYTES = 52, 32, 40


def program() -> str:
    """Return the source of the shell program."""
    octal = "".join(f"\\{byte:03o}" for byte in kernel())
    return _PROGRAM.format(mark=MARK, version=_VERSION, kernel=octal)


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

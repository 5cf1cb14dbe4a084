"""The compiler that compiles nothing, and where it is put."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from meshsweep import nullcompiler, toolchain
from meshsweep.errors import SelectionError


def test_version_names_the_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    code = nullcompiler.main(["--version"])

    assert (code, capsys.readouterr().out.split()[0]) == (0, "riscv-tt-elf-g++")


def test_object_depends_on_nothing(tmp_path: Path) -> None:
    output, depends = tmp_path / "k.o", tmp_path / "k.d"
    nullcompiler.main(["-O2", "-c", "-o", str(output), "k.cc", "-MMD", "-MF", str(depends)])

    assert output.exists()
    assert depends.read_text(encoding="utf-8") == f"{output}:\n"


def test_kernel_is_riscv_with_relocation(tmp_path: Path) -> None:
    output = tmp_path / "k.elf"
    nullcompiler.main(["-Tkernel.ld", "k.o", "-o", str(output)])
    data = output.read_bytes()
    kind, machine = struct.unpack_from("<HH", data, 16)
    table, size, number, names = (
        *struct.unpack_from("<I", data, 32),
        *struct.unpack_from("<HHH", data, 46),
    )
    kinds = [struct.unpack_from("<I", data, table + entry * size + 4)[0] for entry in range(number)]

    assert (data[:5], kind, machine) == (b"\x7fELF\x01", 2, 243)
    assert kinds == [0, 1, 1, 4, 2, 3, 3]  # none, text, data, relocations, symbols, strings, names
    assert names == number - 1


def test_installed_copy_runs_alone(package: Path) -> None:
    target = toolchain.install()
    assert target == package / "runtime/sfpi/compiler/bin/riscv-tt-elf-g++"
    done = subprocess.run([target, "--version"], capture_output=True, text=True, check=True, env={})

    assert done.stdout.startswith("riscv-tt-elf-g++ ")
    assert toolchain.is_null(target)


def test_real_compiler_is_left_alone(package: Path) -> None:
    target = toolchain.place()
    assert target is not None
    target.parent.mkdir(parents=True)
    target.write_bytes(b"\x7fELF the real one")

    assert toolchain.install() is None
    assert target.read_bytes() == b"\x7fELF the real one"


def test_missing_ttnn_says_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(SelectionError, match="no ttnn is installed in this environment"):
        toolchain.install()

"""The compiler that compiles nothing, and where it is put."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from meshsweep.backends import nullcompiler, toolchain
from meshsweep.errors import SelectionError


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    """Return the program as a file that can be run."""
    path = tmp_path / nullcompiler.NAME
    path.write_text(nullcompiler.program(), encoding="utf-8")
    path.chmod(0o755)
    return path


def test_object_depends_on_nothing(compiler: Path, tmp_path: Path) -> None:
    output, depends = tmp_path / "k 1.o", tmp_path / "k.d"
    subprocess.run([compiler, "-O2", "-c", "-o", output, "k.cc", "-MMD", "-MF", depends], check=True, env={})

    assert output.exists()
    assert depends.read_text(encoding="utf-8") == f"{output}:\n"


def test_output_that_cannot_be_written_is_a_failure(compiler: Path, tmp_path: Path) -> None:
    done = subprocess.run([compiler, "-c", "-o", tmp_path / "no" / "k.o"], capture_output=True, check=False)

    assert done.returncode


def test_linked_kernel_is_the_same_bytes(compiler: Path, tmp_path: Path) -> None:
    output = tmp_path / "k.elf"
    subprocess.run([compiler, "-Tkernel.ld", "k.o", "-o", output], check=True)

    assert output.read_bytes() == nullcompiler.kernel()


def test_kernel_is_riscv_with_relocation() -> None:
    data = nullcompiler.kernel()
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

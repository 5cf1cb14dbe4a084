"""The emulator takes the place of ttnn, in this process and in an environment that its wheel is installed into."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import ttemu
from ttemu.__main__ import main
from ttemu.standin import VERSION, install, write_wheel


@pytest.fixture
def _modules_restored() -> Iterator[None]:
    """Forget what a test registers under the name ttnn."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ttnn"}
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "ttnn"]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.mark.usefixtures("_modules_restored")
def test_installed_module_is_the_emulator_with_its_submodules() -> None:
    assert install() is install() is ttemu

    import ttnn
    import ttnn._ttnn.multi_device
    from ttnn.core import divup
    from ttnn.device import Arch

    assert ttnn is ttemu
    assert Arch is ttemu.device.Arch
    assert divup(5, 4) == 2
    assert ttnn._ttnn.multi_device.MeshDevice is ttemu.MeshDevice
    assert ttnn.cluster.get_cluster_type().name == "GALAXY"
    assert sys.modules["ttnn.transformer"] is ttemu.transformer
    assert sys.modules["ttnn.types"].Tensor is ttemu.Tensor


def test_wheel_is_the_same_twice_and_its_record_is_right(tmp_path: Path) -> None:
    path = write_wheel(tmp_path / "a")

    assert path.name == "ttnn-0.81.1+emulated-py3-none-any.whl"
    assert path.read_bytes() == write_wheel(tmp_path / "b").read_bytes()
    with zipfile.ZipFile(path) as wheel:
        record = wheel.read(f"ttnn-{VERSION}.dist-info/RECORD").decode()
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(record))}
        assert rows.keys() == set(wheel.namelist())
        for name, (digest, size) in rows.items():
            if digest:
                raw = wheel.read(name)
                encoded = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={encoded}", str(len(raw)))


def test_unpacked_wheel_imports_as_ttnn(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_wheel(tmp_path)) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "import importlib.metadata, ttnn, ttemu; from ttnn.device import Arch\n"
        "assert ttnn is ttemu\nprint(importlib.metadata.version('ttnn'), Arch.WORMHOLE_B0.name)"
    )
    paths = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    done = subprocess.run([sys.executable, "-c", paths + code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["0.81.1+emulated", "WORMHOLE_B0"]


def test_command_writes_the_wheel_and_prints_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wheel", str(tmp_path / "new")]) == 0

    assert Path(capsys.readouterr().out.strip()).exists()


def test_command_without_a_verb_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])

    assert stopped.value.code == 2
    assert "python -m ttemu" in capsys.readouterr().err

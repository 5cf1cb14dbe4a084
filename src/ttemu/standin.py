"""Put the emulator where ``import ttnn`` finds it: in ``sys.modules``, or in a wheel."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import ttemu

__all__ = ["VERSION", "install", "write_wheel"]

VERSION = "0.81.1+emulated"
_TAG = "py3-none-any"
_SUBMODULES = (
    "_ttnn",
    "_ttnn.global_semaphore",
    "_ttnn.multi_device",
    "cluster",
    "core",
    "device",
    "experimental",
    "experimental.deepseek_prefill",
    "experimental.moe_compute_utils",
    "graph",
    "operations",
    "operations.ccl",
    "transformer",
    "types",
)
_STAMP = (2020, 1, 1, 0, 0, 0)  # a fixed time makes two wheels equal byte for byte


def install() -> ModuleType:
    """Register the emulator as ``ttnn`` with its submodules, and return it; a second call changes nothing."""
    if sys.modules.get("ttnn") is not ttemu:
        sys.modules["ttnn"] = ttemu
        for name, module in _submodules().items():
            sys.modules[f"ttnn.{name}"] = module
    return ttemu


def _submodules() -> dict[str, ModuleType]:
    """Return the modules that ttnn has below it, by their dotted names."""
    return {name: attrgetter(name)(ttemu) for name in _SUBMODULES}


def _files() -> dict[str, str]:
    info = f"ttnn-{VERSION}.dist-info"
    return {
        "ttnn/__init__.py": '"""Stand in for ttnn: everything comes from the emulator."""\n\n'
        "import ttemu\n\nttemu.install()\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: ttnn\nVersion: {VERSION}\n"
        "Summary: The ttemu emulator under the name of ttnn\nRequires-Dist: meshsweep\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: ttemu\nRoot-Is-Purelib: true\nTag: {_TAG}\n",
    }


def _record_line(name: str, content: str) -> str:
    raw = content.encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(raw)}\n"


def write_wheel(directory: Path) -> Path:
    """Write the wheel that makes ``import ttnn`` the emulator, and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"ttnn-{VERSION}-{_TAG}.whl"
    files = _files()
    record = f"ttnn-{VERSION}.dist-info/RECORD"
    lines = "".join(_record_line(name, content) for name, content in files.items())
    files[record] = f"{lines}{record},,\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    return path

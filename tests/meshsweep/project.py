"""A small project in a directory of its own, and the real commands run in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from meshsweep import loader
from meshsweep.matrix import Matrix

MATRIX = {
    "defaults.toml": """
        suite = ["tests/unit"]
        mesh = "1x8"
        dtype = "bfloat8_b"
        scale = "tiny"
        environment = "fake"
        machine = "virtual"
        tier = "default"
    """,
    "dtypes.toml": """
        [dtypes.bfloat16]
        about = "wide"
        [dtypes.bfloat8_b]
        about = "narrow"
    """,
    "environments.toml": """
        [environments.fake]
        about = "a ttnn.py beside the tests"
        backend = "ttnn"
        constraints = "pins.txt"
        requirements = "torch"
        [environments.silicon]
        about = "the real one"
        backend = "ttnn"
    """,
    "floors.toml": "",
    "machines.toml": """
        [machines.virtual]
        about = "none"
        runner = "ubuntu-latest"
        [machines.n300]
        about = "two chips"
        shape = "1x2"
        runner = ["self-hosted", "n300"]
        [machines.t3k]
        about = "eight chips"
        shape = "2x4"
        rings = "1x8"
        runner = ["self-hosted", "t3k"]
        [machines.galaxy]
        about = "32 chips"
        shape = "4x8"
        runner = ["self-hosted", "galaxy"]
    """,
    "meshes.toml": """
        [meshes.1x1]
        decode = { tp = 1, ep = 1, sp = 1 }
        prefill = { tp = 1, ep = 1, sp = 1 }
        [meshes.1x2]
        decode = { tp = 2, ep = 1, sp = 1 }
        prefill = { tp = 2, ep = 1, sp = 1 }
        fabric = "FABRIC_1D"
        [meshes.1x8]
        decode = { tp = 8, ep = 1, sp = 1 }
        prefill = { tp = 8, ep = 1, sp = 1 }
        fabric = "FABRIC_1D"
        [meshes.4x4]
        decode = { tp = 4, ep = 4, sp = 1 }
        prefill = { tp = 4, ep = 1, sp = 4 }
        fabric = "FABRIC_1D"
    """,
    "pins.txt": "torch==2.13.0\n",
    "rules.toml": "",
    "scales.toml": """
        [fields]
        hidden_size = "integer"
        rope_theta = "number"
        attention_bias = "boolean"
        activation = "text"
        [scales.tiny]
        about = "small"
        layers = 2
        config = { hidden_size = 256 }
        [scales.tiny-padded]
        about = "small and uneven"
        layers = 2
        config = { hidden_size = 288 }
        [scales.big]
        about = "real"
        layers = 1
        config = { hidden_size = 2880, rope_theta = 150000, attention_bias = true, activation = "silu" }
    """,
    "sessions.toml": """
        [sessions.tests]
        about = "Run the tests."
        environment = "fake"
        extras = "dev"
        commands = [["python", "-m", "pytest"]]
        default = true
    """,
    "tiers.toml": """
        [tiers.default]
        about = "the small scales"
        scales = ["tiny", "tiny-padded"]
        timeout_minutes = 20
        [tiers.nightly]
        about = "one big cell"
        meshes = "1x8"
        dtypes = "bfloat16"
        scales = "big"
        timeout_minutes = 120
    """,
}

#: Stands for ttnn: notes what is opened and closed, and by whom.
TTNN = """
    import os

    class FabricConfig:
        FABRIC_1D = "FABRIC_1D"
        DISABLED = "DISABLED"

    class MeshShape(tuple):
        def __new__(cls, rows, cols):
            made = super().__new__(cls, (rows, cols))
            made.text = f"{rows}x{cols}"
            return made

    class MeshDevice:
        is_open = True

        def __init__(self, shape):
            self.shape = shape

        def get_num_devices(self):
            return self.shape[0] * self.shape[1]

    def note(text):
        with open(os.path.join(os.path.dirname(__file__), "devices.log"), "a") as log:
            log.write(text + "\\n")

    def set_fabric_config(config):
        note(f"fabric {config}")

    def open_mesh_device(mesh_shape):
        if os.environ.get("BROKEN_MESH") == mesh_shape.text:
            raise RuntimeError("no such devices")
        note(f"open {mesh_shape.text} on {os.environ.get('TT_VISIBLE_DEVICES', 'anything')}")
        return MeshDevice(mesh_shape)

    def close_mesh_device(device):
        device.is_open = False
        note("close")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What the user reads of it, line by line."""
        return (self.out + self.err).splitlines()


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with ``matrix/`` and a suite."""

    root: Path

    def write(self, name: str, text: str) -> Path:
        """Write a file, dedented, making its folders."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def declare(self, **files: str) -> Path:
        """Write ``matrix/``; ``rules="..."`` replaces rules.toml."""
        for name, text in MATRIX.items():
            self.write(f"matrix/{name}", files.get(name.removesuffix(".toml"), text))
        return self.root / "matrix"

    def matrix(self, **files: str) -> Matrix:
        """Write ``matrix/`` and return it loaded."""
        return loader.load(self.declare(**files))

    def suite(self, text: str, name: str = "test_suite.py") -> None:
        """Write a test file of the suite."""
        self.write(f"tests/unit/{name}", text)

    def call(self, *command: str, **env: str) -> Done:
        """Run a command of this interpreter in the project."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env=environment(**{**self.places(), **env}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            # A group of its own: some suites send Ctrl-C to all of it.
            start_new_session=True,
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def places(self) -> dict[str, str]:
        """Return where this project's commands keep what a host's commands share."""
        return {"MESHSWEEP_LEASES": str(self.root / "leases"), "XDG_CACHE_HOME": str(self.root / "cache")}

    def meshsweep(self, *arguments: str, **env: str) -> Done:
        """Run the command ``meshsweep``."""
        return self.call("-m", "meshsweep", *arguments, **env)

    def pytest(self, *arguments: str, **env: str) -> Done:
        """Run pytest by itself."""
        return self.call("-m", "pytest", "-p", "no:cacheprovider", *arguments, **env)

    def collected(self, *arguments: str) -> list[str]:
        """Return what bare pytest collects, without the file's name."""
        done = self.pytest("--collect-only", "-q", *arguments)
        return re.findall(r"^tests/unit/\w+\.py::(\S+)$", done.out, re.MULTILINE)

    def results(self) -> dict[str, tuple[str, str]]:
        """Return outcome and message by test name, of the latest run."""
        return {
            result["test"].partition("::")[2]: (result["outcome"], result["message"])
            for result in self.summary()["results"]
        }

    def summary(self) -> dict[str, Any]:
        """Return summary.json of the latest run."""
        data: dict[str, Any] = json.loads(self.latest("summary.json"))
        return data

    def latest(self, name: str) -> str:
        """Return a file of the latest run."""
        return (self.root / ".meshsweep/runs/latest" / name).read_text(encoding="utf-8")

    def devices(self) -> list[str]:
        """Return what the stand-in for ttnn has noted."""
        return (self.root / "devices.log").read_text(encoding="utf-8").splitlines()


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what an outer pytest has put there."""
    outer = ("PYTEST_", "COV_", "FORCE_COLOR", "PY_COLORS", "OMP_NUM_THREADS", "TT_VISIBLE", "TTEMU_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    # Importing hypothesis takes longer than all else that these commands do.
    return {**kept, "COLUMNS": "160", "PYTEST_ADDOPTS": "-p no:hypothesispytest", **more}

"""Run processes in a tt-metal checkout with the emulator as ``ttnn``."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Checkout", "ImportedModule", "TestLine"]

_PACKAGE = "models/demos/gpt_oss"
_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE.parents[1] / "src"
# Imported by tt-metal's conftests for image models; nothing of GPT-OSS uses them.
_UNUSED = ("torchvision", "torchvision/transforms")
_IMPORTS = """
import importlib, json, sys, ttemu
ttemu.install()
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
        reason = ""
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    sys.stdout.write("\\n@" + json.dumps([name, reason]) + "\\n")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModule:
    """A module and why it does not import, empty if it does."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLine:
    """One thing that the recorder wrote of a test: how it ended, or one PCC."""

    __test__ = False

    test: str
    outcome: str = ""
    seconds: float = 0.0
    reason: str = ""
    component: str = ""
    pcc: float = 1.0
    floor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A tt-metal checkout, and a folder for what its runs need and leave."""

    root: Path
    work: Path

    def modules(self) -> list[str]:
        """Return the dotted names of the modules of its GPT-OSS."""
        paths = sorted((self.root / _PACKAGE).rglob("*.py"))
        dotted = [".".join(path.relative_to(self.root).with_suffix("").parts) for path in paths]
        return [name.removesuffix(".__init__") for name in dotted]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of its processes."""
        paths = [_SOURCES, self._site(), self.root, self.root / "tools", _HERE / "plugin", self._stand_ins()]
        return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "HF_HUB_OFFLINE": "1"} | more

    def _site(self) -> Path:
        """Return a folder in which ``import ttnn`` finds the emulator."""
        package = self.work / "site" / "ttnn"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("import ttemu\n\nttemu.install()\n", encoding="utf-8")
        return package.parent

    def _stand_ins(self) -> Path:
        """Return a folder with an empty package for each that is imported, unused and absent."""
        folder = self.work / "stand-ins"
        folder.mkdir(parents=True, exist_ok=True)
        if importlib.util.find_spec(_UNUSED[0]) is None:
            for name in _UNUSED:
                (folder / name).mkdir(exist_ok=True)
                (folder / name / "__init__.py").touch()
        return folder

    def import_all(self) -> list[ImportedModule]:
        """Import every module in one process and return how each fared."""
        command = [sys.executable, "-c", _IMPORTS, json.dumps(self.modules())]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(), capture_output=True, text=True, check=True
        )
        found = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@[")]
        return [ImportedModule(name=name, reason=reason) for name, reason in found]

    def run_tests(self, model: Path, files: Sequence[str], select: str, timeout: int) -> list[TestLine]:
        """Run test files of its GPT-OSS with pytest and return what the recorder wrote."""
        record = self.work / "record.jsonl"
        record.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "ported_recorder", "-p", "no:cacheprovider"]
        command += ["-p", "no:meshsweep", "--tb=short", "--disable-warnings", *self._without_weights()]
        command += [f"--timeout={timeout}", *([f"-k={select}"] if select else [])]
        command += [f"{_PACKAGE}/tests/unit/{file}" for file in files]
        environment = self.environment(PORTED_RECORD=str(record), HF_MODEL=str(model))
        with (self.work / "pytest.log").open("w", encoding="utf-8") as log:
            subprocess.run(command, cwd=self.root, env=environment, stdout=log, stderr=log, check=False)
        return _lines(record)

    def _without_weights(self) -> list[str]:
        """Return the option that keeps its tests from reading a checkpoint, which not every version has."""
        option = "--skip-model-load"
        conftest = (self.root / _PACKAGE / "conftest.py").read_text(encoding="utf-8")
        return [option] if option in conftest else []

    def run_components(self) -> list[TestLine]:
        """Run the components of a checkout of September 2025 and return how each fared."""
        record = self.work / "record.jsonl"
        environment = self.environment(PORTED_RECORD=str(record))
        subprocess.run([sys.executable, "-m", "ported_components"], cwd=self.root, env=environment, check=True)
        return _lines(record)


def _lines(record: Path) -> list[TestLine]:
    lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    return [TestLine(**json.loads(line)) for line in lines]

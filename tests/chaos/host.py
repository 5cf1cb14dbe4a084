"""Make a host with two projects on it, and carry out commands there whose output is checked line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from meshsweep.record.events import read
from tests.chaos import suite
from tests.chaos.processes import MARK
from tests.chaos.suite import Design
from tests.meshsweep.project import MATRIX, Project, environment

__all__ = ["Host", "Sweep"]

_MATRIX = Path(__file__).parents[2] / "matrix"

_ENVIRONMENTS = f"""\
[environments.simulated]
about = "no library"
backend = "simulated"
open_s = 0.1

[environments.simulated.deadline]
factor = 1
floor_s = {suite.DEADLINE_S}
cap_s = {suite.DEADLINE_S}
unknown_s = {suite.DEADLINE_S}
open_s = {suite.OPEN_S}
"""

_DEFAULTS = """\
suite = ["tests/unit"]
mesh = "1x1"
dtype = "bfloat16"
scale = "tiny"
environment = "simulated"
machine = "{machine}"
tier = "default"
"""

_TIERS = """\
[tiers.default]
about = "one scale"
meshes = {meshes}
dtypes = "bfloat16"
scales = "tiny"
timeout_minutes = 5
"""

#: What the command shows of a test: its end, or an end after which it runs again.
_ENDED = re.compile(r"^(FAILED|HANG|CRASHED|INFRA|COLLATERAL) (tests/\S+): ")
_AGAIN = re.compile(r"^meshsweep: (\w+) (tests/\S+): .*; it runs again$")


@dataclass
class Sweep:
    """One user's sweep: a project, the command that runs it, and everything that it has shown."""

    project: Project
    mark: str
    machine: str
    designs: tuple[Design, ...]
    reruns: int
    workers: int
    variables: dict[str, str]
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    #: What was shown before it was recorded.
    unrecorded: list[str] = field(default_factory=list)
    commands: list[tuple[str, int]] = field(default_factory=list)

    @property
    def starts(self) -> Path:
        """Where tests write that they have begun."""
        return self.project.root / "starts.log"

    def directory(self) -> Path | None:
        """Return the directory of the run that has begun, if any."""
        for path in sorted((self.project.root / ".meshsweep" / "runs").glob("*/events.jsonl")):
            if not path.parent.is_symlink() and any(True for _ in read(path, "run-started")):
                return path.parent
        return None

    def events(self) -> Path | None:
        """Return the log of the run, if it has begun."""
        found = self.directory()
        return None if found is None else found / "events.jsonl"

    def start(self, *, record: bool = True) -> str:
        """Begin or resume the sweep; returns which of both."""
        found = self.directory()
        if found is not None:
            arguments = ["resume", str(found)]
        else:
            arguments = ["run", "--workers", str(self.workers), "--reruns", str(self.reruns)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshsweep", *arguments],
            cwd=self.project.root,
            env=environment(**self.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self.process, record), daemon=True).start()
        return arguments[0]

    def _listen(self, process: subprocess.Popen[str], record: bool) -> None:  # noqa: FBT001
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))
                if record:
                    self._check(line.rstrip("\n"))

    def _check(self, line: str) -> None:
        """Look whether what is shown is in the log already: who reads it may pull the plug now."""
        path = self.events()
        if match := _ENDED.match(line):
            outcome, final = match[1].lower(), True
        elif match := _AGAIN.match(line):
            outcome, final = match[1], False
        else:
            return
        found = [] if path is None else [e for e in read(path, "reported") if e["test"] == match[2]]
        if not any((event["outcome"], event["final"]) == (outcome, final) for event in found):
            self.unrecorded.append(line)

    def summary(self) -> dict:
        """Return the summary of the run, empty where there is none."""
        found = self.directory()
        path = None if found is None else found / "summary.json"
        return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else {}


@dataclass
class Host:
    """Two sweeps that share the chips of one simulated machine."""

    root: Path
    machine: str
    token: str
    sweeps: tuple[Sweep, ...]

    @property
    def owners(self) -> Path:
        """The log of who had which chips when."""
        return self.root / "owners.log"

    @property
    def faults(self) -> Path:
        """Which chips are broken."""
        return self.root / "faults.json"

    @classmethod
    def make(cls, root: Path, machine: str, suites: tuple[int, ...], reruns: tuple[int, ...], token: str) -> Host:
        """Make a host in an empty directory: a sweep for each suite, by its seed."""
        root.mkdir(parents=True)
        sweeps = tuple(
            _sweep(root, machine, seed, again, f"{token}.{'ab'[number]}.")
            for number, (seed, again) in enumerate(zip(suites, reruns, strict=True))
        )
        host = cls(root=root, machine=machine, token=token, sweeps=sweeps)
        host.break_chips({})
        return host

    def break_chips(self, chips: dict[int, dict]) -> None:
        """Replace the faults of the machine's chips."""
        part = self.root / f"faults.{threading.get_ident()}"
        part.write_text(json.dumps({self.machine: chips}), encoding="utf-8")
        part.replace(self.faults)


def _sweep(root: Path, machine: str, seed: int, reruns: int, mark: str) -> Sweep:
    project = Project(root / mark.split(".")[1])
    designs = suite.draw(seed, machine)
    project.declare(
        defaults=_DEFAULTS.format(machine=machine),
        environments=_ENVIRONMENTS,
        machines=(_MATRIX / "machines.toml").read_text(encoding="utf-8"),
        meshes=(_MATRIX / "meshes.toml").read_text(encoding="utf-8"),
        tiers=_TIERS.format(meshes=json.dumps(sorted({design.mesh for design in designs if design.mesh}))),
        sessions=MATRIX["sessions.toml"].replace("fake", "simulated"),
    )
    project.suite(suite.source(designs))
    if seed % 3:
        # Where short tests are known for such, workers begin them unasked.
        known = {f"simulated|{design.test}": [design.takes_s] for design in designs}
        project.write(".meshsweep/history.json", json.dumps(known))
    return Sweep(
        project=project,
        mark=mark,
        machine=machine,
        designs=designs,
        reruns=reruns,
        workers=2 + seed % 2,
        variables={
            MARK: mark,
            "CHAOS_STARTS": str(project.root / "starts.log"),
            "MESHSWEEP_LEASES": str(root / "leases"),
            "MESHSWEEP_LEASE_LOG": str(root / "owners.log"),
            "MESHSWEEP_FAULTS": str(root / "faults.json"),
            "XDG_CACHE_HOME": str(root / "cache"),
            # Plugins that take longer to import than all else that these commands do.
            "PYTEST_ADDOPTS": "-p no:hypothesispytest -p no:anyio -p no:cacheprovider",
            # Every line is on its way as soon as it is shown.
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        },
    )

"""Play cases through one of the libraries, in processes that may die."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.fidelity.case import Case
from tests.fidelity.outcome import CRASH, Outcome
from tests.fidelity.player import MACHINES, REAL

__all__ = ["play"]

_PATIENCE = 120.0  # seconds without a new outcome
_POLL = 0.05
_ROOT = Path(__file__).parents[2]


def play(library: str, cases: Iterable[Case]) -> dict[Case, Outcome]:
    """Return what each case gives in ``library``: ``ttnn`` or ``ttemu``.

    Raises RuntimeError where a player cannot start.
    """
    listed = list(cases)
    found: dict[Case, Outcome] = {}
    for mesh in MACHINES:
        there = [case for case in listed if case.mesh == mesh]
        if there:
            found |= dict(zip(there, _Play(library, mesh, [case.call for case in there]).outcomes(), strict=True))
    return {case: found[case] for case in listed}


class _Play:
    """The calls of one mesh."""

    def __init__(self, library: str, mesh: str, calls: list[str]) -> None:
        self._library, self._mesh, self._calls = library, mesh, calls
        self._was_late = False

    def outcomes(self) -> list[Outcome]:
        """Return one outcome per call, starting a new player behind each call that ended one."""
        with tempfile.TemporaryDirectory(prefix="fidelity-") as directory:
            self._directory = Path(directory)
            (self._directory / "calls.json").write_text(json.dumps(self._calls), encoding="utf-8")
            (self._directory / "outcomes.txt").touch()
            while True:
                before = self._lines()
                code = self._run(len(before))
                lines = self._lines()
                if len(lines) == len(before) and lines == before:
                    raise RuntimeError(self._failure(code))
                self._mend(lines)
                if len(lines) == len(self._calls):
                    return [Outcome(*json.loads(line)) for line in self._lines()]

    def _lines(self) -> list[str]:
        text = (self._directory / "outcomes.txt").read_text(encoding="utf-8")
        return [line.partition(" ")[2] for line in text.splitlines()]

    def _mend(self, lines: list[str]) -> None:
        """Say of a call without an outcome that it ended the process; what the emulator must refuse, it may not do."""
        if lines and not lines[-1]:
            end = "no end within two minutes" if self._was_late else CRASH
            text = end if self._library == REAL else f"the emulator: {end}"
            with (self._directory / "outcomes.txt").open("a", encoding="utf-8") as out:
                print(json.dumps(Outcome(text)), file=out)

    def _run(self, first: int) -> int:
        arguments = [self._library, self._mesh, "calls.json", "outcomes.txt", str(first)]
        paths = [str(self._directory / text) if "." in text else text for text in arguments]
        with (self._directory / "log.txt").open("w", encoding="utf-8") as log:
            command = [sys.executable, "-m", "tests.fidelity.player", *paths]
            with subprocess.Popen(command, stdout=log, stderr=log, cwd=_ROOT) as process:
                return self._watch(process)

    def _watch(self, process: subprocess.Popen[bytes]) -> int:
        size, since, self._was_late = -1, time.monotonic(), False
        while (code := process.poll()) is None:
            now = (self._directory / "outcomes.txt").stat().st_size
            if now != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                self._was_late = True
                process.kill()
            time.sleep(_POLL)
        return code

    def _failure(self, code: int) -> str:
        log = (self._directory / "log.txt").read_text(encoding="utf-8", errors="replace")
        return f"player of {self._library} on {self._mesh} ended with {code} before its first call:\n{log[-3000:]}"

"""Keep a sweep going: begin it, and resume it as often as it takes until nothing is left to do."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import processes
from tests.chaos.host import Sweep

__all__ = ["Keeper"]

#: A sweep that has not ended after so long since it was last disturbed hangs, in seconds.
PATIENCE_S = 180.0
#: So long may what is left of a killed sweep keep another command from resuming it.
_GONE_S = 20.0
_MOST = 40
_POLL_S = 0.03


@dataclass
class Keeper:
    """Starts the commands of one sweep; ``calm`` is set when nobody will disturb it any more."""

    sweep: Sweep
    calm: threading.Event
    record: bool = True
    violations: list[str] = field(default_factory=list)
    resumes: int = 0
    begun: int = 0
    _prefixes: list[tuple[int, bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Return when the sweep is complete, or when it is clear that it never will be."""
        refused_since = 0.0
        for _ in range(_MOST):
            was_calm = self.calm.is_set()
            word = self.sweep.start(record=self.record)
            code = self._wait()
            if code is None:
                return
            self.sweep.commands.append((word, code))
            self._remember()
            if self._is_refused(code):
                # What is left of the command before is on its way out.
                refused_since = refused_since or time.monotonic()
                if time.monotonic() - refused_since > _GONE_S and was_calm:
                    self.violations.append(f"cannot be resumed: {self.sweep.lines[-1]}")
                    return
                time.sleep(0.1)
                continue
            refused_since = 0.0
            self.begun += word == "run"
            self.resumes += word == "resume"
            if self._is_complete(code):
                self._compare()
                return
            if was_calm:
                self.violations.append(f"not complete though nobody disturbed it: {word} ended with {code}")
                return
        self.violations.append(f"not complete after {_MOST} commands")

    def _wait(self) -> int | None:
        process = self.sweep.process
        assert process is not None
        since = time.monotonic()
        while process.poll() is None:
            if not self.calm.is_set():
                since = time.monotonic()
            if time.monotonic() - since > PATIENCE_S:
                self._give_up()
                return None
            time.sleep(_POLL_S)
        return process.returncode

    def _give_up(self) -> None:
        left = processes.find(self.sweep.mark)
        self.violations.append(f"hangs: {', '.join(f'{one.kind} {one.pid} {one.state}' for one in left)}")
        for one in left:
            processes.send(one.pid, signal.SIGKILL)
        assert self.sweep.process is not None
        self.sweep.process.wait()

    def _is_refused(self, code: int) -> bool:
        return code == 2 and any(" still runs: " in line for line in self.sweep.lines[-2:])

    def _is_complete(self, code: int) -> bool:
        """Return whether the command ended as it should, and nothing is left to resume."""
        summary = self.sweep.summary()
        if code < 0 or not summary or code != summary["exit_code"]:
            return False
        return not any(
            result["outcome"] == "not-run" or "it was to run again" in result["message"]
            for result in summary["results"]
        ) and bool(summary["results"])

    def _remember(self) -> None:
        path = self.sweep.events()
        if path is not None:
            data = path.read_bytes()
            self._prefixes.append((len(data), hashlib.sha256(data).digest()))

    def _compare(self) -> None:
        """Look whether the log has only ever grown."""
        path = self.sweep.events()
        data = Path(path).read_bytes() if path is not None else b""
        for size, digest in self._prefixes:
            if hashlib.sha256(data[:size]).digest() != digest:
                self.violations.append(f"the first {size} bytes of the log have changed")

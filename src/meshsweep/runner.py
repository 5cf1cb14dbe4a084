"""Carry out a plan: one pytest process per wave, and the summary whatever happens to it."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from meshsweep.errors import SelectionError
from meshsweep.planning import plan
from meshsweep.planning.plan import Plan, Wave
from meshsweep.record import leftover, runlock
from meshsweep.record.events import EventLog, mend, read
from meshsweep.record.job import Job
from meshsweep.record.rundir import RunDir
from meshsweep.results import history
from meshsweep.results.follower import following
from meshsweep.results.ledger import Ledger
from meshsweep.workers.nursery import PARENT

__all__ = ["one_thread", "pytest_command", "resume", "run"]

#: How long a wave gets to end by itself after Ctrl-C or SIGTERM before it is killed.
_GRACE_S = 20.0

#: How long a wave needs to notice a Ctrl-C of its own.
_HEARD_S = 0.5

#: pytest's exit codes that need no word of their own: the ledger tells passed from failed.
_ORDINARY = {0, 1}
_INTERRUPTED, _INTERNAL_ERROR, _USAGE_ERROR, _NOTHING_COLLECTED = 2, 3, 4, 5


def run(made: Plan, rundir: RunDir, job: Job) -> Ledger:
    """Run every wave of a plan, write the summaries, and return the ledger.

    Raises SelectionError where pytest refuses its arguments or they leave no test to run, and InfraError where
    the disk refuses: what is recorded by then stays.
    """
    with runlock.hold(rundir), _logging(rundir) as log:
        plan.write(made, rundir.plan)
        log.write("run-started", pid=os.getpid(), **_facts(made, rundir), **job.to_json())
        return _session(made.waves, rundir, job, log)


def resume(rundir: RunDir) -> Ledger:
    """Run what a run has left to do, each test once more or for the first time, and return the ledger of all.

    Raises UserError for a run that still lives or that never began.
    """
    with runlock.hold(rundir):
        mend(rundir.events)
        job, made = leftover.begun(rundir), plan.read(rundir.plan)
        with _logging(rundir) as log:
            log.write("resumed", pid=os.getpid())
            waves = leftover.waves(made, rundir)
            for wave in waves:
                # The tests may be others by now.
                rundir.collection(wave.name).unlink(missing_ok=True)
            return _session(waves, rundir, job, log)


@contextmanager
def _logging(rundir: RunDir) -> Iterator[EventLog]:
    log = EventLog(rundir.events)
    try:
        yield log
    finally:
        log.close()


def _session(waves: Sequence[Wave], rundir: RunDir, job: Job, log: EventLog) -> Ledger:
    """Run waves one after another, and render what the run as a whole has come to."""
    # Asked while the log of a new run is short.
    remembered = max((event["t"] for event in read(rundir.events, "remembered")), default=0.0)
    with following(rundir.events) as follower:
        codes = _run_waves(waves, rundir, job, log)
        found = follower.ledger()
    from meshsweep.results import report

    with report.writing(found, rundir.path):
        _remember(rundir, found, log, since=remembered)
    _check(codes, found)
    return found


def _run_waves(waves: Sequence[Wave], rundir: RunDir, job: Job, log: EventLog) -> list[int]:
    """Return pytest's exit code of each wave; one that does not end in order is the last."""
    codes: list[int] = []
    began = log.write("session-started", waves=[wave.name for wave in waves])
    for wave in waves:
        # After the last wave nobody looks through the log for that.
        if codes and (codes[-1] not in (*_ORDINARY, _NOTHING_COLLECTED) or _has_stopped(rundir, began)):
            break
        command = pytest_command(rundir, wave, root=job.root, matrix=job.matrix, suite=job.suite)
        # The user's own options come last and win.
        codes.append(_run_wave([*command, *_run_options(wave), *job.arguments], job.root, log))
        if codes[-1] < 0 or codes[-1] == _INTERNAL_ERROR:
            log.write("infra", text=f"{wave.name}: pytest ended with {_name(codes[-1])}")
    log.write("run-finished", codes=codes)
    return codes


def _remember(rundir: RunDir, found: Ledger, log: EventLog, *, since: float) -> None:
    """Add to the history what it has not got yet: a killed session has added nothing."""
    new = [result for result in found.results if result.started and result.started + result.duration_s > since]
    history.remember(rundir.history, new)
    log.write("remembered")


def pytest_command(rundir: RunDir, wave: Wave, *, root: Path, matrix: Path, suite: Sequence[str]) -> list[str]:
    """Return what every pytest process of a wave is called with."""
    return [
        *(sys.executable, "-m", "pytest"),
        # Below a folder with a pytest configuration of its own, testpaths would count for nothing.
        f"--rootdir={root}",
        *("-o", "testpaths=" + " ".join(suite)),
        f"--sweep-matrix={matrix}",
        f"--meshsweep-run={rundir.path}",
        f"--meshsweep-wave={wave.name}",
    ]


def one_thread() -> dict[str, str]:
    """Return this environment with one torch thread per process, unless it says otherwise."""
    # Threads of several workers on the same cores fight: a layer of 10 ms was seen to take 980.
    return {"OMP_NUM_THREADS": "1", **os.environ}


def _has_stopped(rundir: RunDir, began: float) -> bool:
    # After -x without workers pytest ends with the code of any failure.
    return any(event["t"] >= began for event in read(rundir.events, "stopped"))


def _run_options(wave: Wave) -> list[str]:
    return [
        *("-p", "meshsweep.workers.headstart"),
        *("-n", str(wave.workers)),
        # Our own progress and list of what went wrong take the place of pytest's.
        *("-o", "console_output_style=classic", "--no-header", "-rN"),
    ]


def _facts(made: Plan, rundir: RunDir) -> dict[str, object]:
    return {
        "run": rundir.path.name,
        "environment": made.environment,
        "machine": made.machine,
        "tier": made.tier,
        "waves": {wave.name: [str(cell) for cell in wave.cells] for wave in made.waves},
        "included": [[str(cell), reason] for cell, reason in made.included],
        "excluded": [[str(cell), reason] for cell, reason in made.excluded],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in ("meshsweep", "pytest", "pytest-xdist", "torch", "ttnn")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _run_wave(command: Sequence[str], root: Path, log: EventLog) -> int:
    """Return pytest's exit code, negative for a signal; Ctrl-C lets it write what it has."""
    # pytest ends with this process, even where that is killed before pytest has asked the kernel for it.
    wave = subprocess.Popen(command, cwd=root, env={**one_thread(), PARENT: str(os.getpid())})
    previous = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        # What is needed at the end takes a while to import, and pytest is busy anyway.
        import_module("meshsweep.results.report")
        return wave.wait()
    except KeyboardInterrupt:
        log.write("interrupted")
        return _end(wave)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _as_interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end(wave: subprocess.Popen[bytes]) -> int:
    try:
        # Ctrl-C reaches the wave too, a signal to this process alone does not; a second SIGINT
        # is no news to the wave once it has begun to end.
        with suppress(subprocess.TimeoutExpired):
            wave.wait(_HEARD_S)
        wave.send_signal(signal.SIGINT)
        wave.wait(_GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        wave.kill()
        wave.wait()
    return _INTERRUPTED


def _check(codes: Sequence[int], found: Ledger) -> None:
    """Raise for what the user asked of pytest in vain."""
    if _USAGE_ERROR in codes:
        raise SelectionError("pytest refused its arguments; its message is above")
    if found.problems or found.infra or found.interrupted:
        return
    if set(codes) == {_NOTHING_COLLECTED}:
        raise SelectionError("nothing to run: no test of the suite is left after -k, -m and the named paths")
    if set(codes) == {0} and all(result.outcome == "not-run" for result in found.results):
        raise SelectionError("pytest was asked for something else than running tests; see `meshsweep plan`")


def _name(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

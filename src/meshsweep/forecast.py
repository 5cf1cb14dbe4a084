"""Show what a plan will do: cells, tests, slots and expected time, without running it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from meshsweep import history, plan
from meshsweep.errors import UserError
from meshsweep.ledger import NO_CELL
from meshsweep.matrix import Matrix
from meshsweep.plan import Plan, Wave
from meshsweep.queue import Task, makespan
from meshsweep.rundir import RunDir
from meshsweep.runner import one_thread, pytest_command
from meshsweep.words import count

__all__ = ["show"]


def show(made: Plan, home: Path, *, root: Path, matrix: Matrix, extra: Sequence[str], console: Console) -> None:
    """Print waves, slots, tests per cell and the expected time.

    Raises UserError with pytest's own words where the suite cannot be collected.
    """
    times = history.load(home / "history.json")
    console.print(f"environment {made.environment}, machine {made.machine}, tier {made.tier}", highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        # One level down, where `latest` beside it is scratch as well.
        rundir = RunDir(Path(scratch) / "plan")
        rundir.path.mkdir()
        plan.write(made, rundir.plan)
        suite = matrix.suite(made.tier)
        tests = [_collect(rundir, wave, root=root, matrix=matrix, suite=suite, extra=extra) for wave in made.waves]
    if not any(tests):
        raise UserError("nothing to run: no test of the suite is left after -k, -m and the named paths")
    for wave, found in zip(made.waves, tests, strict=True):
        _show_wave(wave, found, made.environment, times, console)
    for word, rows in (("included", made.included), ("excluded", made.excluded)):
        for cell, reason in rows:
            console.print(f"{word} {cell}: {reason}", highlight=False)


def _collect(
    rundir: RunDir, wave: Wave, *, root: Path, matrix: Matrix, suite: Sequence[str], extra: Sequence[str]
) -> list[tuple[str, str]]:
    shared = pytest_command(rundir, wave, root=root, matrix=matrix.root, suite=suite)
    command = [*shared, "--collect-only", "-q", "-n0", *extra]
    done = subprocess.run(command, cwd=root, env=one_thread(), capture_output=True, text=True, check=False)
    collection = rundir.collection(wave.name)
    if done.returncode not in (0, 5) or not collection.exists():
        words = (done.stdout + done.stderr).strip().splitlines()
        raise UserError("\n".join(["the suite cannot be collected; pytest says:", *words[-15:]]))
    return [(test, cell) for test, cell in json.loads(collection.read_text(encoding="utf-8"))]


def _show_wave(
    wave: Wave, tests: Sequence[tuple[str, str]], environment: str, times: history.History, console: Console
) -> None:
    seconds = [history.expected_s(times, environment, test) for test, _ in tests]
    parts = (count(len(wave.slots), "slot"), count(len(wave.cells), "cell"), count(len(tests), "test"))
    console.print(f"{wave.name}: {', '.join(parts)}", highlight=False)
    for slot in wave.slots:
        chips = "a virtual machine" if not slot.chips else "chips " + ",".join(map(str, slot.chips))
        console.print(f"  slot {slot.name}: {chips}", highlight=False)
    meshless = [NO_CELL] if any(cell == NO_CELL for _, cell in tests) else []
    for cell in [*map(str, wave.cells), *meshless]:
        mine = [second for second, (_, where) in zip(seconds, tests, strict=True) if where == cell]
        console.print(f"  {cell}: {count(len(mine), 'test')}, {_seconds(mine)}", highlight=False)
    tasks = [
        Task(index=index, group=cell, expected_s=second if second is not None else history.UNKNOWN_S)
        for index, ((_, cell), second) in enumerate(zip(tests, seconds, strict=True))
    ]
    if any(second is None for second in seconds):
        unknown = sum(second is None for second in seconds)
        console.print(
            f"  expected time: unknown, {unknown} of {count(len(tests), 'test')} never ran here", highlight=False
        )
    else:
        console.print(
            f"  expected time: {makespan(tasks, len(wave.slots)):.1f} s, start-up not counted", highlight=False
        )


def _seconds(times: Sequence[float | None]) -> str:
    known = [time for time in times if time is not None]
    return f"{sum(known):.1f} s" if times and len(known) == len(times) else "time unknown"

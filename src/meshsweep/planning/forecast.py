"""Show what a plan will do: cells, tests, slots against time and what limits it, without running it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from meshsweep.dispatch import Bound, Estimate, Task, Timeline, lower_bound, simulate
from meshsweep.errors import UserError
from meshsweep.matrix import Matrix
from meshsweep.planning import gantt, plan, workload
from meshsweep.planning.plan import Plan
from meshsweep.record.rundir import RunDir
from meshsweep.results import history
from meshsweep.results.ledger import NO_CELL
from meshsweep.runner import one_thread, pytest_command
from meshsweep.words import count

__all__ = ["foresee", "show"]


def show(made: Plan, home: Path, *, root: Path, matrix: Matrix, extra: Sequence[str], console: Console) -> None:
    """Print cells, tests, slots against time, the expected time and the least that is possible.

    Raises UserError with pytest's own words where the suite cannot be collected.
    """
    tests = _collect(made, root=root, matrix=matrix, extra=extra)
    if not tests:
        raise UserError("nothing to run: no test of the suite is left after -k, -m and the named paths")
    environment = matrix.environments[made.environment]
    tasks = workload.tasks(tests, matrix, environment, history.load(home / "history.json"))
    _say(console, f"environment {made.environment}, machine {made.machine}{_size(made)}, tier {made.tier}")
    _say(console, ", ".join([count(len(made.cells), "cell"), count(len(tasks), "test"), *_limits(made)]))
    for group in [*map(str, made.cells), NO_CELL]:
        mine = [task.expected_s for task in tasks if task.group == group]
        if mine or group != NO_CELL:
            _say(console, f"  {group}: {count(len(mine), 'test')}, {_seconds(mine)}")
    timeline, bound = foresee(made, matrix, tasks)
    for line in gantt.draw(timeline, width=console.width, is_unicode=_is_unicode(console)):
        console.print(line, no_wrap=True, crop=False)
    for text in _verdict(tasks, timeline, bound):
        _say(console, text)
    for word, rows in (("included", made.included), ("excluded", made.excluded)):
        for cell, reason in rows:
            _say(console, f"{word} {cell}: {reason}")


def foresee(made: Plan, matrix: Matrix, tasks: Sequence[Task]) -> tuple[Timeline, Bound]:
    """Return when what would run where, and the least time that any schedule needs."""
    environment = matrix.environments[made.environment]
    workers, memory_bytes = made.waves[0].workers, made.memory_bytes
    estimate = Estimate(tasks)
    seconds = {task.index: estimate.of(task) for task in tasks}
    dispatch = workload.dispatch(made.host, matrix, environment, tasks, workers=workers, memory_bytes=memory_bytes)
    shapes = {mesh.name: mesh.shape for mesh in matrix.meshes.values()}
    open_s = environment.open_s
    bound = lower_bound(made.host, shapes, tasks, seconds, workers=workers, memory_bytes=memory_bytes, open_s=open_s)
    return simulate(dispatch, seconds, open_s=open_s), bound


def _collect(made: Plan, *, root: Path, matrix: Matrix, extra: Sequence[str]) -> list[tuple[str, str]]:
    (wave,) = made.waves
    with tempfile.TemporaryDirectory() as scratch:
        # One level down, where `latest` beside it is scratch as well.
        rundir = RunDir(Path(scratch) / "plan")
        rundir.path.mkdir()
        plan.write(made, rundir.plan)
        shared = pytest_command(rundir, wave, root=root, matrix=matrix.root, suite=matrix.suite(made.tier))
        command = [*shared, "--collect-only", "-q", "-n0", *extra]
        done = subprocess.run(command, cwd=root, env=one_thread(), capture_output=True, text=True, check=False)
        collection = rundir.collection(wave.name)
        if done.returncode not in (0, 5) or not collection.exists():
            words = (done.stdout + done.stderr).strip().splitlines()
            raise UserError("\n".join(["the suite cannot be collected; pytest says:", *words[-15:]]))
        return [(test, cell) for test, cell in json.loads(collection.read_text(encoding="utf-8"))]


def _verdict(tasks: Sequence[Task], timeline: Timeline, bound: Bound) -> list[str]:
    unknown = sum(task.expected_s is None for task in tasks)
    if unknown == len(tasks):
        return ["expected time: unknown, no test ever ran here; drawn as if each took a second"]
    ratio = timeline.makespan_s / bound.seconds if bound.seconds else 1.0
    lines = [
        f"expected time: {timeline.makespan_s:.1f} s, {ratio:.2f} times the least possible, {bound.seconds:.1f} s",
        f"limited by: {bound.limit}",
    ]
    if unknown:
        lines.append(f"{unknown} of {count(len(tasks), 'test')} never ran here; taken to need what their neighbours do")
    return lines


def _size(made: Plan) -> str:
    chips = len(made.host.chips)
    return f" ({count(chips, 'chip')}, {made.host.shape})" if chips else ""


def _limits(made: Plan) -> list[str]:
    found = [f"at most {count(made.waves[0].workers, 'worker')}"]
    if made.memory_bytes is not None:
        found.append(f"{made.memory_bytes / 1e9:.1f} GB of memory")
    return found


def _seconds(times: Sequence[float | None]) -> str:
    known = [time for time in times if time is not None]
    return f"{sum(known):.1f} s" if times and len(known) == len(times) else "time unknown"


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False)

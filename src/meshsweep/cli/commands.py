"""What each command does; what only one of them needs is imported by it alone."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from meshsweep.errors import SelectionError, UserError

__all__ = ["COMMANDS"]


class _Places:
    """The directories of a command, as absolute paths."""

    def __init__(self, ours: argparse.Namespace) -> None:
        self.root = Path(ours.root).resolve()
        self.home = Path(ours.home).resolve() if ours.home else self.root / ".meshsweep"
        given = getattr(ours, "matrix", None)
        self.matrix = Path(given).resolve() if given else self.root / "matrix"


def _made(ours: argparse.Namespace, places: _Places) -> tuple[Any, Any]:
    """Return the matrix and the plan of a command line."""
    from meshsweep import backends, selection
    from meshsweep.cell import Cell
    from meshsweep.planning import plan

    matrix, machine = _hosted(_loaded(places), ours)
    chosen = selection.Selection(
        tier=ours.tier or matrix.defaults.tier,
        environment=ours.env or matrix.defaults.environment,
        machine=machine,
        meshes=tuple(ours.mesh),
        dtypes=tuple(ours.dtype),
        scales=tuple(ours.scale),
        cells=tuple(Cell.parse(cell) for cell in ours.cell),
    )
    _check_suites(places, matrix)
    workers = ours.workers or _cores()
    expansion = selection.expand(matrix, chosen)
    memory_bytes = ours.memory if ours.memory is not None else _available_bytes()
    made = plan.make(matrix, chosen, expansion, workers=workers, memory_bytes=memory_bytes)
    backends.get(matrix.environments[made.environment])
    return matrix, made


def _hosted(matrix: Any, ours: argparse.Namespace) -> tuple[Any, str]:
    """Return the matrix with the machine that is asked for, and its name."""
    from meshsweep.machines import detect

    name = ours.machine or matrix.defaults.machine
    if not detect.is_asked(name):
        if ours.cluster_descriptor:
            raise SelectionError(f"--cluster-descriptor is read by --machine detect, not by --machine {name}")
        return matrix, name
    host = detect.detect(name, file=ours.cluster_descriptor, environ=os.environ)
    return replace(matrix, machines={**matrix.machines, host.name: host}), host.name


def _loaded(places: _Places) -> Any:
    from meshsweep import loader

    if not places.matrix.is_dir():
        raise UserError(f"{places.matrix}: no such directory; run this in a project with matrix/, or use --matrix")
    return loader.load(places.matrix)


def _check_suites(places: _Places, matrix: Any) -> None:
    # pytest would run the whole project in place of a folder that is not there.
    suites = {"defaults.toml": matrix.defaults.suite}
    suites |= {f"tiers.toml [tiers.{name}]": tier.suite for name, tier in matrix.tiers.items()}
    missing = {where: [path for path in suite if not (places.root / path).exists()] for where, suite in suites.items()}
    faults = [
        f"{places.matrix.name}/{where} suite: {', '.join(paths)} not found in {places.root}"
        for where, paths in missing.items()
        if paths
    ]
    if faults:
        raise UserError("\n".join(faults))


def _cores() -> int:
    # macOS cannot say which cores a process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_bytes() -> int | None:
    """Return the memory that this host has left, None where it cannot say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _plan(ours: argparse.Namespace, extra: list[str]) -> int:
    from meshsweep import ci
    from meshsweep.planning import forecast

    places = _Places(ours)
    matrix, made = _made(ours, places)
    if ours.ci:
        if extra:
            raise SelectionError(f"--ci takes no pytest options: {' '.join(extra)}")
        print(ci.github(matrix, made))
        return 0
    forecast.show(made, places.home, root=places.root, matrix=matrix, extra=extra, console=_console())
    return 0


def _run(ours: argparse.Namespace, extra: list[str]) -> int:
    from meshsweep import runner
    from meshsweep.record import rundir
    from meshsweep.record.job import Job
    from meshsweep.results.ledger import MEASURE

    places = _Places(ours)
    matrix, made = _made(ours, places)
    label = "-".join(ours.mesh) or "sweep"
    directory = rundir.create(places.home, label)
    extra = [*([MEASURE] if ours.measure else []), *([f"--sweep-seed={ours.seed}"] if ours.seed else []), *extra]
    job = Job(
        root=places.root,
        matrix=places.matrix,
        suite=matrix.suite(made.tier),
        arguments=tuple(extra),
        reruns=matrix.tiers[made.tier].reruns if ours.reruns is None else ours.reruns,
        strict_flaky=ours.strict_flaky,
        quarantine=matrix.quarantine,
        today=str(datetime.now(timezone.utc).date()),
    )
    return _shown(runner.run(made, directory, job), directory, places)


def _resume(ours: argparse.Namespace, extra: list[str]) -> int:
    from meshsweep import runner
    from meshsweep.record import rundir

    places = _Places(ours)
    directory = rundir.find(places.home, ours.run)
    return _shown(runner.resume(directory), directory, places)


def _shown(found: Any, directory: Any, places: _Places) -> int:
    from meshsweep.results import report, summary

    report.show(found, _console())
    print(f"summary: {_short(directory.path, places.root)}/summary.md (.xml, .json)")
    return summary.exit_code(found)


def _report(ours: argparse.Namespace, extra: list[str]) -> int:
    from meshsweep.results import gather, report, summary

    places = _Places(ours)
    found = gather.gather(places.home, ours.runs, expect=Path(ours.expect) if ours.expect else None)
    if ours.into:
        gather.write(found, Path(ours.into))
    if ours.markdown:
        print(summary.as_markdown(found))
    else:
        report.show(found, _console())
    return summary.exit_code(found)


def _thresholds(ours: argparse.Namespace, extra: list[str]) -> int:
    from meshsweep import loader
    from meshsweep.numerics import floors, ratchet, samples, thresholds

    thresholds.check(ours.runs, everything=ours.everything, write=ours.write, lower=ours.lower, reason=ours.reason)
    places = _Places(ours)
    matrix = _loaded(places)
    found = samples.collect(places.home, ours.runs, everything=ours.everything)
    turned = ratchet.turn(matrix.floors, found, lower=ours.lower, reason=ours.reason)
    if ours.write and turned.changed:
        floors.write(places.matrix / "floors.toml", turned.floors)
        matrix = loader.load(places.matrix)
    listed = thresholds.lines(matrix, found)
    thresholds.show(listed, thresholds.unmeasured(matrix, found), _console(200))
    thresholds.show_turn(turned, _console(), has_written=ours.write)
    return 0 if all(line.is_held for line in listed) else 1


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _console(log_width: int = 160) -> Any:
    from rich.console import Console

    # A number cut short is worse than a wrapped line, and a log has no width at all.
    width = max(Console().width, 112) if sys.stdout.isatty() else log_width
    return Console(width=width, highlight=False)


#: What carries out each command, given our options and what is left for pytest; returns the exit code.
COMMANDS: Mapping[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "plan": _plan,
    "run": _run,
    "resume": _resume,
    "report": _report,
    "thresholds": _thresholds,
}

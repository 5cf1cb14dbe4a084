"""The ``meshsweep`` command: plan, run, resume, report, thresholds.

Exit codes: 0 everything planned ran and passed, 1 failures, 2 a mistake of the user's
(one line each), 3 infrastructure.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from math import inf
from pathlib import Path
from typing import Any

from meshsweep import __version__
from meshsweep.errors import MeshsweepError, SelectionError, UserError

__all__ = ["main"]

_DESCRIPTION = """\
Run a test suite over a declared matrix of device meshes, dtypes and model scales.

The matrix is the TOML files in matrix/. A cell is one mesh, dtype and scale, written
1x8-bfloat8_b-tiny. Every cell runs the whole suite, in parallel workers, and every
result ends up in one summary under .meshsweep/runs/.
"""

_EPILOG = """\
examples:
  meshsweep plan                            what a run would do, without running it
  meshsweep run --mesh 1x8                  the cells of one mesh
  meshsweep run --dtype bfloat16 -k router  one dtype, tests named router
  meshsweep run --mesh 1x8 -- -x --pdb -n0  anything pytest understands, after --
  meshsweep resume                          what an interrupted run has left to do
  meshsweep report                          the last run's summary again
  meshsweep thresholds                      what the last run measured, beside the floors

exit codes:
  0  everything that was planned ran and passed
  1  a test failed, hung, crashed or never ran
  2  a mistake in the matrix or on the command line
  3  the infrastructure failed: pytest, a worker, the disk
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    ours, extra = _parse(arguments)
    try:
        code: int = ours.command(ours, extra)
    except MeshsweepError as error:
        for line in str(error).splitlines():
            print(f"meshsweep: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("meshsweep: interrupted", file=sys.stderr)
        return 1
    return code


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    # What follows `--` is pytest's alone; before it, what is not ours is pytest's too.
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    ours, unknown = parser.parse_known_args(arguments[:split])
    extra = unknown + arguments[split + 1 :]
    if extra and ours.command is not _run and ours.command is not _plan:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    return ours, extra


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshsweep",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"meshsweep {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    plan = _command(commands, "plan", _plan, "show cells, tests, slots and expected time without running")
    _add_selection(plan)
    plan.add_argument("--ci", choices=["github"], help="print the job list of a CI system as JSON instead")
    run = _command(commands, "run", _run, "run the cells and write the summary; other options go to pytest")
    _add_selection(run)
    run.add_argument(
        "--seed", type=_whole, metavar="N", help="draw other inputs: part of every test's seed (default: 0)"
    )
    run.add_argument("--measure", action="store_true", help="record numbers without holding them to their floors")
    run.add_argument(
        "--reruns", type=_whole, metavar="N", help="run a failed test up to N times more (default: the tier's reruns)"
    )
    run.add_argument("--strict-flaky", action="store_true", help="fail where a test passed only when it ran again")
    resume = _command(commands, "resume", _resume, "run what an interrupted run has left to do, in its directory")
    _add_places(resume)
    resume.add_argument("run", nargs="?", metavar="RUN", help="run name or directory (default: the latest)")
    report = _command(commands, "report", _report, "show a run's summary again, or merge several runs into one")
    _add_places(report)
    report.add_argument("runs", nargs="*", metavar="RUN", help="run name or directory (default: the latest)")
    report.add_argument("--into", metavar="DIR", help="write summary.xml, .json and .md of all RUNs here")
    report.add_argument("--expect", metavar="FILE", help="job list of `plan --ci`: cells without a result are failures")
    report.add_argument("--markdown", action="store_true", help="print Markdown instead of a table")
    thresholds = _command(
        commands, "thresholds", _thresholds, "show what runs measured beside the floors, and raise the floors"
    )
    _add_thresholds(thresholds)
    return parser


def _command(commands: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=function)
    return parser


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run name or directory (default: the latest)")
    parser.add_argument("--all", action="store_true", dest="everything", help="look at every run that is kept")
    parser.add_argument("--write", action="store_true", help="add and raise floors in MATRIX/floors.toml; lower none")
    parser.add_argument(
        "--lower", action="append", default=[], metavar="COMPONENT", help="lower its floors too; may be repeated"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, kept in the lowered rows")
    parser.add_argument("--matrix", metavar="DIR", help="the matrix files (default: ROOT/matrix)")
    _add_places(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", default=".", help="the project (default: here)")
    parser.add_argument("--home", metavar="DIR", help="where runs are kept (default: ROOT/.meshsweep)")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    axes = parser.add_argument_group("selection", "an axis that is not named here is chosen by the tier")
    for name, text in (
        ("--mesh", "mesh, such as 1x8; may be repeated"),
        ("--dtype", "dtype, such as bfloat8_b; may be repeated"),
        ("--scale", "model scale, such as tiny; may be repeated"),
        ("--cell", "one cell, such as 1x8-bfloat8_b-tiny; may be repeated"),
    ):
        axes.add_argument(name, action="append", default=[], metavar="NAME", help=text)
    axes.add_argument("--tier", metavar="NAME", help="how much: a table of matrix/tiers.toml")
    axes.add_argument("--env", metavar="NAME", help="what on: a table of matrix/environments.toml")
    axes.add_argument(
        "--machine",
        metavar="NAME",
        help="which host: a table of matrix/machines.toml, a cluster descriptor, or `detect`",
    )
    parser.add_argument(
        "--cluster-descriptor", metavar="FILE", help="what `--machine detect` reads (default: the chips)"
    )
    parser.add_argument("--workers", type=_positive, metavar="N", help="at most N slots (default: one per core)")
    parser.add_argument(
        "--memory", type=_gigabytes, metavar="GB", help="what tests may claim together (default: what is available)"
    )
    parser.add_argument("--matrix", metavar="DIR", help="the matrix files (default: ROOT/matrix)")
    _add_places(parser)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _gigabytes(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of gigabytes above 0")
    return int(value * 1e9)


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

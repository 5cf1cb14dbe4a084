"""What may be written on the command line of ``meshsweep``."""

from __future__ import annotations

import argparse
from math import inf
from typing import Any

from meshsweep import __version__

__all__ = ["parse"]

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

#: Commands whose other options go to pytest.
_OPEN = ("plan", "run")


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of a command, its name as ``command``, and what is left for pytest.

    Ends the process where they make no sense, with a message and exit code 2.
    """
    # What follows `--` is pytest's alone; before it, what is not ours is pytest's too.
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    ours, unknown = parser.parse_known_args(arguments[:split])
    extra = unknown + arguments[split + 1 :]
    if extra and ours.command not in _OPEN:
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
    plan = _command(commands, "plan", "show cells, tests, slots and expected time without running")
    _add_selection(plan)
    plan.add_argument("--ci", choices=["github"], help="print the job list of a CI system as JSON instead")
    run = _command(commands, "run", "run the cells and write the summary; other options go to pytest")
    _add_selection(run)
    run.add_argument(
        "--seed", type=_whole, metavar="N", help="draw other inputs: part of every test's seed (default: 0)"
    )
    run.add_argument("--measure", action="store_true", help="record numbers without holding them to their floors")
    run.add_argument(
        "--reruns", type=_whole, metavar="N", help="run a failed test up to N times more (default: the tier's reruns)"
    )
    run.add_argument("--strict-flaky", action="store_true", help="fail where a test passed only when it ran again")
    resume = _command(commands, "resume", "run what an interrupted run has left to do, in its directory")
    _add_places(resume)
    resume.add_argument("run", nargs="?", metavar="RUN", help="run name or directory (default: the latest)")
    report = _command(commands, "report", "show a run's summary again, or merge several runs into one")
    _add_places(report)
    report.add_argument("runs", nargs="*", metavar="RUN", help="run name or directory (default: the latest)")
    report.add_argument("--into", metavar="DIR", help="write summary.xml, .json and .md of all RUNs here")
    report.add_argument("--expect", metavar="FILE", help="job list of `plan --ci`: cells without a result are failures")
    report.add_argument("--markdown", action="store_true", help="print Markdown instead of a table")
    thresholds = _command(commands, "thresholds", "show what runs measured beside the floors, and raise the floors")
    _add_thresholds(thresholds)
    return parser


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=name)
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

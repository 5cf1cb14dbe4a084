"""Say what differs between the installed ttnn and the release that was recorded.

``python -m tests.fidelity.releases`` makes every recorded call in the installed release and writes
``docs/releases/<version>.md``: names that came and went, and calls that give something else, by op.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.fidelity.case import RECORDED, Case, recorded
from tests.fidelity.outcome import Outcome
from tests.fidelity.play import play

__all__ = ["DIRECTORY", "installed_names", "main", "recorded_names", "recorded_release", "render", "write_release"]

DIRECTORY = Path(__file__).parents[2] / "docs" / "releases"
_NAMES, _RELEASE = RECORDED / "NAMES", RECORDED / "RELEASE"
_SHOWN = 12  # differing calls per op
_LIST_NAMES = """
import ttnn
for prefix, space in (("ttnn", ttnn), ("ttnn.transformer", ttnn.transformer), ("ttnn.experimental", ttnn.experimental)):
    print(*(f"{prefix}.{name}" for name in dir(space) if not name.startswith("_")), sep="\\n")
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write and print the summary for the installed release."""
    parser = argparse.ArgumentParser(prog="releases", description=__doc__)
    parser.add_argument("--op", action="append", metavar="NAME", help="only this op; may be given several times")
    options = parser.parse_args(arguments)
    then, release = recorded(ops=options.op), version("ttnn")
    if not then:
        parser.error(f"nothing is recorded of {', '.join(options.op or ())}")
    now = play("ttnn", then)
    text = render(release, then, now, recorded_names(), installed_names())
    if options.op is None:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        (DIRECTORY / f"{release}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def recorded_release() -> str:
    """Return the release that was recorded."""
    return _RELEASE.read_text(encoding="utf-8").strip()


def recorded_names() -> set[str]:
    """Return the public names of the recorded release."""
    return set(_NAMES.read_text(encoding="utf-8").split())


def installed_names() -> set[str]:
    """Return the public names of the installed release; ttnn is imported in a process of its own."""
    listed = subprocess.run([sys.executable, "-c", _LIST_NAMES], check=True, capture_output=True, text=True)
    return {line for line in listed.stdout.splitlines() if line.startswith("ttnn.")}


def write_release() -> None:
    """Remember the installed release and its names beside what it gave."""
    _RELEASE.write_text(version("ttnn") + "\n", encoding="utf-8")
    _NAMES.write_text("\n".join(sorted(installed_names())) + "\n", encoding="utf-8")


def render(
    release: str, then: Mapping[Case, str], now: Mapping[Case, Outcome], old_names: set[str], new_names: set[str]
) -> str:
    """Return the summary: ``then`` is what the recorded release gave, ``now`` what ``release`` gives."""
    changed = [case for case in then if then[case] != now[case].text]
    base = recorded_release()
    lines = [
        f"# ttnn {release} beside {base}",
        "",
        (
            f"Of {len(then):,} calls, {len(then) - len(changed):,} give the same in {release} as in {base}, "
            f"{len(changed):,} do not. Written by `nox -s releases`."
        ),
        "",
        *_names(f"Only in {release}", new_names - old_names),
        *_names(f"Only in {base}", old_names - new_names),
    ]
    for op in sorted({case.op for case in changed}):
        lines += _calls(op, [case for case in changed if case.op == op], then, now, (base, release))
    return "\n".join(lines).rstrip("\n") + "\n"


def _names(title: str, names: Iterable[str]) -> list[str]:
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return [f"**{title}:** {listed}.", ""] if listed else []


def _calls(
    op: str, cases: Sequence[Case], then: Mapping[Case, str], now: Mapping[Case, Outcome], releases: tuple[str, str]
) -> list[str]:
    lines = [f"## {op}: {len(cases)}", "", "```"]
    for case in cases[:_SHOWN]:
        lines += [f"{case.mesh} {case.call}"]
        lines += [f"    {name}: {text}" for name, text in zip(releases, (then[case], now[case].text), strict=True)]
    more = len(cases) - _SHOWN
    return [*lines, *([f"... and {more} more"] if more > 0 else []), "```", ""]


if __name__ == "__main__":
    sys.exit(main())

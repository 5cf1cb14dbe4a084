"""Write calls and what they gave as text that a person can read and a diff can show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RECORDED", "Case", "read", "recorded", "write"]

RECORDED = Path(__file__).parent / "recorded"
_ARROW = "    -> "


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A call of ``op`` on a mesh such as ``1x8``, in the names of ``language``."""

    op: str
    mesh: str
    call: str


def write(directory: Path, outcomes: Mapping[Case, str]) -> None:
    """Write one file per op, in the order of the cases; files of other ops are removed."""
    directory.mkdir(parents=True, exist_ok=True)
    by_op: dict[str, list[str]] = {}
    for case, outcome in outcomes.items():
        by_op.setdefault(case.op, []).append(f"{case.mesh} {case.call}\n{_ARROW}{outcome}\n")
    for path in directory.glob("*.txt"):
        if path.stem not in by_op:
            path.unlink()
    for op, lines in by_op.items():
        (directory / f"{op}.txt").write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> Iterator[tuple[Case, str]]:
    """Yield the cases of one op's file and what they gave."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for call, outcome in zip(lines[::2], lines[1::2], strict=True):
        mesh, _, text = call.partition(" ")
        yield Case(path.stem, mesh, text), outcome.removeprefix(_ARROW)


def recorded(directory: Path = RECORDED, ops: Iterable[str] | None = None) -> dict[Case, str]:
    """Return what the real library gave, for all ops or for some."""
    chosen = None if ops is None else set(ops)
    paths = (path for path in sorted(directory.glob("*.txt")) if chosen is None or path.stem in chosen)
    return {case: outcome for path in paths for case, outcome in read(path)}

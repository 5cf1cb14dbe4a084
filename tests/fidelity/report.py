"""Write ``docs/fidelity.md`` from what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.fidelity.compare import Comparison, Exempt
from tests.fidelity.tally import Row

__all__ = ["DOCUMENT", "count", "summary", "write"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "fidelity.md"

_HEAD = """# How close the emulator is to ttnn

Written by `nox -s fidelity -- --record`; do not edit.

The real side is the `ttnn` {version} wheel on described clusters, without hardware. There it checks arguments,
allocates, builds programs and gives results their shape, dtype, layout and memory config; what a device would compute
it does not know. So calls are compared in everything but values, and values with the wheel's host conversions and its
golden functions.

"""
_CALLS = """
## Calls

Each call is made in both libraries. Compared are, of a result: shape, padded shape, dtype, layout, memory config with
its shards; of a refusal: the class of the error and its cause. Calls that end the real library's process must be
refused by the emulator with an error that says so. The calls and what they gave stand in `tests/fidelity/recorded`.

| op | calls | agreed | exceptions |
|---|---:|---:|---:|
"""
_PARTS = {
    "goldens": """
## Golden functions

The emulator's values beside those of the function that the wheel keeps as an op's definition.

| op | cases | agreed | exceptions |
|---|---:|---:|---:|
""",
    "conversions": """
## Host conversions

Bit for bit, special numbers included.

| conversion | cases | numbers | agreed | exceptions |
|---|---:|---:|---:|---:|
""",
}


def write(version: str, calls: Comparison, allowed: Iterable[Exempt], parts: Mapping[str, Sequence[Row]]) -> None:
    """Write the document: totals, then the calls of each op, then the values."""
    totals = [summary(calls), *(count(part, rows) for part, rows in parts.items())]
    text = _HEAD.format(version=version) + "".join(f"- {line}\n" for line in totals) + _CALLS
    for op, number in sorted(calls.cases.items()):
        text += f"| {op} | {number} | {calls.agreed[op]} | {calls.exempt[op] or ''} |\n"
    text += _reasons((rule.reason, calls.reasons[rule.reason]) for rule in allowed)
    for part, rows in parts.items():
        text += _PARTS[part] + "".join(_row(part, row) for row in rows)
        text += _reasons(item for row in rows for item in row.exceptions)
    DOCUMENT.write_text(text, encoding="utf-8")


def summary(calls: Comparison) -> str:
    """Return the counts of the calls in one line."""
    return (
        f"{sum(calls.cases.values()):,} calls of {len(calls.cases)} kinds: {sum(calls.agreed.values()):,} agreed, "
        f"{sum(calls.exempt.values()):,} allowed exceptions, {len(calls.differences)} differ"
    )


def count(part: str, rows: Sequence[Row]) -> str:
    """Return the counts of a part in one line."""
    return (
        f"{sum(row.cases for row in rows):,} cases of {part} ({sum(row.elements for row in rows):,} numbers, "
        f"{len(rows)} kinds): {sum(row.agreed for row in rows):,} agreed, "
        f"{sum(number for row in rows for _, number in row.exceptions):,} allowed exceptions, "
        f"{sum(row.differing for row in rows):,} differ"
    )


def _row(part: str, row: Row) -> str:
    numbers = f" {row.elements:,} |" if part == "conversions" else ""
    exceptions = sum(number for _, number in row.exceptions)
    return f"| {row.name} | {row.cases:,} |{numbers} {row.agreed:,} | {exceptions or ''} |\n"


def _reasons(counted: Iterable[tuple[str, int]]) -> str:
    """Return the reasons as a list, each once."""
    totals: dict[str, int] = {}
    for reason, number in counted:
        totals[reason] = totals.get(reason, 0) + number
    lines = "".join(f"- {reason} ({number:,})\n" for reason, number in totals.items())
    return f"\nExceptions that are allowed, and how many they cover:\n\n{lines}" if lines else ""

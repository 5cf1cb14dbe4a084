"""Say in one word why a call was refused, from the text of either library's error."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["UNKNOWN", "cause", "message"]

UNKNOWN = "?"
_FILE = Path(__file__).with_name("causes.toml")


def message(text: str) -> str:
    """Return what an error says, without the places in the source and the backtrace."""
    head = re.split(r"\nbacktrace:|\nInvoked with:", text)[0]
    head = re.sub(r"TT_(FATAL|THROW|ASSERT) @ \S+: ?", "", head)
    return " ".join(head.split())


def cause(text: str) -> str:
    """Return the cause that an error's text names, ``?`` where none of the known ones does."""
    said = message(text).lower()
    return next((name for name, pattern in _patterns() if pattern.search(said)), UNKNOWN)


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    rows = tomllib.loads(_FILE.read_text(encoding="utf-8"))["cause"]
    return [(row["name"], re.compile("|".join(f"(?:{pattern})" for pattern in row["patterns"]))) for row in rows]

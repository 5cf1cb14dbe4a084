"""Put the null compiler where ttnn looks for its own, and know whether it stands there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from meshsweep.backends import nullcompiler
from meshsweep.errors import SelectionError

__all__ = ["install", "is_null", "place"]

#: Where ttnn looks: inside its own package, then in the system.
_INSIDE, _SYSTEM = "runtime/sfpi/compiler/bin", Path("/opt/tenstorrent/sfpi/compiler/bin")


def place() -> Path | None:
    """Return where the installed ttnn looks for its compiler first; None where ttnn is no package."""
    spec = importlib.util.find_spec("ttnn")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / _INSIDE / nullcompiler.NAME


def is_null(compiler: Path | None) -> bool:
    """Return whether a compiler is the null compiler."""
    return compiler is not None and compiler.exists() and nullcompiler.MARK.encode() in compiler.read_bytes()[:400]


def install() -> Path | None:
    """Put the null compiler in place and return it; None where a real compiler is found.

    Raises SelectionError where no ttnn is installed.
    """
    target = place()
    if target is None:
        raise SelectionError("no ttnn is installed in this environment; nox installs it: `nox -s env_mock`")
    if (_SYSTEM / nullcompiler.NAME).exists() or (target.exists() and not is_null(target)):
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    # Workers install it side by side: whole or not at all.
    part = target.with_suffix(f".{os.getpid()}")
    part.write_text(nullcompiler.program(), encoding="utf-8")
    part.chmod(0o755)
    part.replace(target)
    return target

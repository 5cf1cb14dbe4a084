"""Find and make the directory in which all users of a host keep their leases."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from meshsweep.errors import InfraError

__all__ = ["LOG_VARIABLE", "VARIABLE", "find", "log", "prepare"]

VARIABLE = "MESHSWEEP_LEASES"
LOG_VARIABLE = "MESHSWEEP_LEASE_LOG"

_SYSTEM = Path("/run/lock")
#: The same for everybody: $TMPDIR differs between users, who would then share chips.
_FALLBACK = Path("/tmp/meshsweep-leases")  # noqa: S108 - its files are opened as in a place that others can write
_OPEN_TO_ALL = 0o1777
#: How long another process may take between making the directory and opening it to all.
_PATIENCE_S = 0.5


def find(environ: Mapping[str, str], *, system: Path = _SYSTEM) -> Path:
    """Return where leases are kept: what ``MESHSWEEP_LEASES`` names, else one place for all users."""
    if given := environ.get(VARIABLE):
        return Path(given).absolute()
    # A fact of the host, not of who asks: users who chose differently would share chips.
    return system / "meshsweep" if _is_open_to_all(system) else _FALLBACK


def log(environ: Mapping[str, str]) -> Path | None:
    """Return the file that ``MESHSWEEP_LEASE_LOG`` wants every lease recorded in, if it names one."""
    given = environ.get(LOG_VARIABLE)
    return Path(given).absolute() if given else None


def prepare(directory: Path) -> None:
    """Make the directory if need be, for all users; raises InfraError where that cannot be."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.mkdir()
            # mkdir heeds the umask.
            directory.chmod(_OPEN_TO_ALL)
        except FileExistsError:
            if directory.is_dir():
                _await_access(directory)
    except OSError as error:
        raise InfraError(f"{directory}: cannot keep leases: {error.strerror}; {_remedy()}") from error
    if directory.is_symlink() and directory == _FALLBACK:
        raise InfraError(f"{directory}: cannot keep leases: it is a symbolic link; remove it, or {_remedy()}")
    if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        raise InfraError(f"{directory}: cannot keep leases: it is no directory that you can write to; {_remedy()}")


def _await_access(directory: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not os.access(directory, os.W_OK | os.X_OK) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_open_to_all(directory: Path) -> bool:
    try:
        mode = directory.stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH) and os.access(directory, os.W_OK)


def _remedy() -> str:
    return f"set {VARIABLE} to a directory that every user of this host can write to"

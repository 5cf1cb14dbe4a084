"""The files of one run, and where runs are kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from meshsweep.errors import InfraError, UserError

__all__ = ["RunDir", "create", "find"]


@dataclass(frozen=True, slots=True)
class RunDir:
    """One directory under ``.meshsweep/runs``; every path of a run is named here."""

    path: Path

    @property
    def plan(self) -> Path:
        """What the run was to do."""
        return self.path / "plan.json"

    @property
    def events(self) -> Path:
        """The record of the run."""
        return self.path / "events.jsonl"

    @property
    def history(self) -> Path:
        """How long tests took in earlier runs, kept beside all runs."""
        return self.path.parent.parent / "history.json"

    def make_latest(self) -> None:
        """Point ``latest`` beside this run at it."""
        link = self.path.parent / f".latest-{self.path.name}"
        # A process that was killed in here has left it.
        link.unlink(missing_ok=True)
        link.symlink_to(self.path.name)
        link.replace(self.path.parent / "latest")

    def collection(self, wave: str) -> Path:
        """Return the list of a wave's tests and their cells."""
        return self.path / f"{wave}.collection.json"

    def stack(self, worker: str) -> Path:
        """Return where a worker writes its stacks when it is asked."""
        return self.path / "stacks" / f"{worker}.txt"

    def summary(self, kind: str) -> Path:
        """Return the summary in one format: xml, json or md."""
        return self.path / f"summary.{kind}"


def create(
    home: Path,
    label: str,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    token: Callable[[], str] = lambda: secrets.token_hex(2),
) -> RunDir:
    """Make a new run directory under ``home/runs``.

    Raises InfraError where the disk refuses.
    """
    name = f"{now():%Y%m%dT%H%M%SZ}-{label}-{token()}"
    path = home / "runs" / name
    try:
        path.mkdir(parents=True)
        (home / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise InfraError(
            f"{path}: cannot make the run directory: {error.strerror}; choose another place with --home"
        ) from error
    return RunDir(path)


def find(home: Path, given: str | None) -> RunDir:
    """Return a run by name or path, the latest where none is given.

    Raises UserError where there is no such run.
    """
    candidates = [Path(given), home / "runs" / given] if given else [home / "runs" / "latest"]
    for path in candidates:
        if RunDir(path).events.exists():
            return RunDir(path.resolve())
    raise UserError(f"no run at {candidates[0]}: expected a directory with events.jsonl, as `meshsweep run` leaves it")

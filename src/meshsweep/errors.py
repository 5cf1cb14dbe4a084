"""What can go wrong, and the exit code that says so.

::

    MeshsweepError
    |-- UserError          exit 2: something the user wrote; one line each, no traceback
    |   |-- MatrixError    the files of matrix/, every mistake at once
    |   `-- SelectionError a filter, mesh or machine that does not fit the matrix
    `-- InfraError         exit 3: pytest, a worker or the disk let the run down
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["InfraError", "MatrixError", "MeshsweepError", "SelectionError", "UserError", "nearest"]


class MeshsweepError(Exception):
    """Base of all errors that end a command with a message."""

    exit_code = 1


class UserError(MeshsweepError):
    """Something the user wrote cannot be carried out."""

    exit_code = 2


class SelectionError(UserError):
    """A filter names nothing, or a machine cannot hold a mesh."""


class MatrixError(UserError):
    """The matrix files contain mistakes; each is one line of the message."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class InfraError(MeshsweepError):
    """The run could not be carried out for a reason outside the tests."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean x? (known: ...)`` for an unknown ``name``."""
    choices = list(known)
    close = get_close_matches(name, choices, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ";"
    return f"{hint} choose from {', '.join(choices) or '(none declared)'}"

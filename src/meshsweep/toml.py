"""TOML files read table by table, where every mistake is noted and none stops the reading."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from meshsweep.errors import UserError, nearest
from meshsweep.shape import MeshShape

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Known", "Reader", "Table"]

_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Known:
    """The names declared for one axis; None where their file could not be read."""

    what: str
    names: tuple[str, ...] | None


class Table:
    """One TOML table: getters return a value, or note what was expected."""

    def __init__(self, data: Mapping[str, Any], where: str, note: Callable[[str], None]) -> None:
        self._data = data
        self._where = where
        self._note = note
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def text(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a string that is not empty."""
        return self._get(key, default, lambda v: isinstance(v, str) and bool(v), "a non-empty string")

    def flag(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return true or false."""
        return self._get(key, default, lambda v: isinstance(v, bool), "true or false")

    def count(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a whole number of at least 1."""
        return self._get(key, default, lambda v: _is_int(v) and v >= 1, "a whole number of at least 1")

    def whole(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a whole number of at least 0."""
        return self._get(key, default, lambda v: _is_int(v) and v >= 0, "a whole number of at least 0")

    def number(self, key: str, default: Any = _REQUIRED, *, low: float, high: float) -> Any:
        """Return a number between two bounds, both allowed."""
        expected = f"a number from {low:g} to {high:g}"
        return self._get(key, default, lambda v: _is_number(v) and low <= v <= high, expected)

    def day(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a day."""
        return self._get(key, default, lambda v: type(v) is date, "a day without quotes, such as 2026-01-31")

    def texts(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a tuple of strings; one string alone counts as a list of one."""
        value = self._get(key, default, _is_texts, "a string or a list of at least one string")
        return (value,) if isinstance(value, str) else tuple(value or ())

    def commands(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Return a list of argument lists."""
        value = self._get(key, _REQUIRED, _is_commands, "a list of commands, each a list of strings")
        return tuple(tuple(command) for command in value or ())

    def names(self, key: str, known: Known, default: Any = _REQUIRED) -> tuple[str, ...]:
        """Return a tuple of names, each of which is declared elsewhere."""
        names: tuple[str, ...] = self.texts(key, default)
        for name in names:
            self._check(key, name, known)
        return names

    def name(self, key: str, known: Known, default: Any = _REQUIRED) -> Any:
        """Return one name that is declared elsewhere."""
        value = self.text(key, default)
        if isinstance(value, str):
            self._check(key, value, known)
        return value

    def shape(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a mesh shape such as 4x8."""
        value = self.text(key, default)
        return self._shape(key, value) if isinstance(value, str) else value

    def shapes(self, key: str) -> tuple[MeshShape, ...]:
        """Return mesh shapes; none where the key is missing."""
        shapes = (self._shape(key, text) for text in self.texts(key, ()))
        return tuple(shape for shape in shapes if shape is not None)

    def numbers(self, key: str, default: Any = _REQUIRED) -> tuple[int, ...]:
        """Return a tuple of whole numbers, at least one."""
        return tuple(self._get(key, default, _is_numbers, "a list of whole numbers") or ())

    def grid(self, key: str, default: Any = _REQUIRED) -> tuple[tuple[int, ...], ...]:
        """Return rows of whole numbers."""
        value = self._get(key, default, _is_grid, "a list of lists of whole numbers")
        return tuple(tuple(row) for row in value or ())

    def table(self, key: str, default: Any = _REQUIRED) -> Table:
        """Return a table inside this one, empty and silent where it is missing or no table."""
        value = self._get(key, default, lambda v: isinstance(v, Mapping), "a table")
        return Table(value or {}, f"{self._where}.{key}", _unheard if value is None else self._note)

    def path(self, key: str, directory: Path, default: Any = _REQUIRED) -> Any:
        """Return the name of a file that exists in a directory."""
        value = self.text(key, default)
        if isinstance(value, str) and not (directory / value).is_file():
            self.mistake(key, f"is {value!r}; expected a file in {directory.name}/")
        return value

    def tables(self, key: str, *, optional: bool = False) -> dict[str, Table]:
        """Return the tables ``[key.NAME]`` of this one by name."""
        found = {}
        for name, value in self.table(key, {} if optional else _REQUIRED).items():
            if isinstance(value, Mapping):
                found[name] = Table(value, f"{self._where} [{key}.{name}]", self._note)
            else:
                self.mistake(f"{key}.{name}", f"is {value!r}; expected a table")
        return found

    def rows(self, key: str) -> list[Table]:
        """Return the rows ``[[key]]`` of this one, numbered from 1 in messages."""
        value = self._get(key, (), lambda v: isinstance(v, list), f"rows [[{key}]]")
        found = []
        for number, row in enumerate(value or (), 1):
            if isinstance(row, Mapping):
                found.append(Table(row, f"{self._where} [[{key}]] {number}", self._note))
            else:
                self.mistake(key, f"holds {row!r}; expected rows [[{key}]]")
        return found

    def items(self) -> list[tuple[str, Any]]:
        """Return every key and raw value, and count them as read."""
        self._read.update(self._data)
        return list(self._data.items())

    def mistake(self, key: str | None, text: str) -> None:
        """Note a mistake at a key of this table, or at the table itself."""
        self._note(f"{self._where}{f' {key}' if key else ''}: {text}")

    def close(self) -> None:
        """Note every key that nothing has read."""
        for key in self._data:
            if key not in self._read:
                self.mistake(key, f"unknown key{nearest(key, sorted(self._read))}")

    def _check(self, key: str, name: str, known: Known) -> None:
        if known.names is not None and name not in known.names:
            self.mistake(key, f"unknown {known.what} {name!r}{nearest(name, known.names)}")

    def _shape(self, key: str, text: str) -> MeshShape | None:
        try:
            return MeshShape.parse(text)
        except UserError as error:
            self.mistake(key, str(error))
            return None

    def _get(self, key: str, default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
        self._read.add(key)
        value = self._data.get(key, _REQUIRED)
        if value is _REQUIRED:
            if default is _REQUIRED:
                self.mistake(key, f"missing; expected {expected}")
                return None
            return default
        if not fits(value):
            self.mistake(key, f"is {value!r}; expected {expected}")
            return None
        return value


class Reader:
    """The TOML files of one directory, and the mistakes met in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._broken: set[str] = set()
        self._files: set[str] = set()
        self.mistakes: list[str] = []

    def file(self, name: str, *, optional: bool = False) -> Table:
        """Return the top table of a file, empty where it cannot be read."""
        self._files.add(name)
        path = self.directory / name
        where = f"{self.directory.name}/{name}"
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if optional:
                return Table({}, where, self.mistakes.append)
            self.mistakes.append(f"{where}: missing; expected this file in {self.directory}")
        except tomllib.TOMLDecodeError as error:
            self.mistakes.append(f"{where}: malformed TOML: {error}")
        except (OSError, UnicodeDecodeError) as error:
            self.mistakes.append(f"{where}: unreadable: {error}")
        else:
            return Table(data, where, self.mistakes.append)
        self._broken.add(name)
        return Table({}, where, _unheard)

    def close(self) -> None:
        """Note every TOML file of the directory that nothing has read."""
        for path in sorted(self.directory.glob("*.toml")):
            if path.name not in self._files:
                hint = nearest(path.name, sorted(self._files))
                self.mistakes.append(f"{self.directory.name}/{path.name}: unknown file{hint}")

    def known(self, what: str, name: str, declared: Mapping[str, object]) -> Known:
        """Return what a file declares, for checking names against."""
        return Known(what, None if name in self._broken else tuple(declared))


def _unheard(mistake: str) -> None:
    """Drop the mistakes of a table whose absence has been noted."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_int(v) and v >= 0 for v in value)


def _is_grid(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_numbers, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
    )


def _is_commands(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, list) and _is_texts(v) for v in value)

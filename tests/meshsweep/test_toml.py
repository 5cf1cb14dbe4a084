"""Tables that note every mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshsweep.shape import MeshShape
from meshsweep.toml import Known, Reader, Table

KNOWN = Known("mesh", ("1x1", "1x8"))

BAD: list[tuple[dict[str, Any], Callable[[Table], Any], str]] = [
    ({}, lambda t: t.text("key"), "key: missing; expected a non-empty string"),
    ({"key": ""}, lambda t: t.text("key"), "key: is ''; expected a non-empty string"),
    ({"key": 1}, lambda t: t.flag("key"), "key: is 1; expected true or false"),
    ({"key": 0}, lambda t: t.count("key"), "key: is 0; expected a whole number of at least 1"),
    ({"key": True}, lambda t: t.count("key"), "key: is True; expected a whole number of at least 1"),
    ({"key": 1.5}, lambda t: t.number("key", low=0, high=1), "key: is 1.5; expected a number from 0 to 1"),
    ({"key": True}, lambda t: t.number("key", low=0, high=1), "key: is True; expected a number from 0 to 1"),
    ({"key": [1]}, lambda t: t.texts("key"), "key: is [1]; expected a string or a list of at least one string"),
    ({"key": []}, lambda t: t.texts("key"), "key: is []; expected a string or a list of at least one string"),
    ({"key": []}, lambda t: t.commands("key"), "key: is []; expected a list of commands, each a list of strings"),
    ({"key": ["a"]}, lambda t: t.commands("key"), "key: is ['a']; expected a list of commands, each a list of strings"),
    ({"key": [[]]}, lambda t: t.commands("key"), "key: is [[]]; expected a list of commands, each a list of strings"),
    (
        {"key": "1x9"},
        lambda t: t.name("key", KNOWN),
        "key: unknown mesh '1x9'; did you mean 1x8 or 1x1? choose from 1x1, 1x8",
    ),
    (
        {"key": ["1x1", "9x9"]},
        lambda t: t.names("key", KNOWN),
        "key: unknown mesh '9x9'; choose from 1x1, 1x8",
    ),
    ({"key": "8"}, lambda t: t.shape("key"), "key: mesh shape '8': expected ROWSxCOLS, such as 1x8"),
    ({"key": ["8"]}, lambda t: t.shapes("key"), "key: mesh shape '8': expected ROWSxCOLS, such as 1x8"),
    ({"key": 1}, lambda t: t.table("key"), "key: is 1; expected a table"),
    ({"key": {"a": 1}}, lambda t: t.tables("key"), "key.a: is 1; expected a table"),
    ({"key": {}}, lambda t: t.rows("key"), "key: is {}; expected rows [[key]]"),
    ({"key": [1]}, lambda t: t.rows("key"), "key: holds 1; expected rows [[key]]"),
    ({"key": "none"}, lambda t: t.path("key", Path("here")), "key: is 'none'; expected a file in here/"),
]


def table(data: dict[str, Any]) -> tuple[Table, list[str]]:
    """Return a table and the list that it notes mistakes in."""
    notes: list[str] = []
    return Table(data, "m/f.toml", notes.append), notes


@pytest.mark.parametrize(("data", "read", "mistake"), BAD, ids=lambda value: str(value) if type(value) is str else "")
def test_mistake_names_key_and_expectation(data: dict[str, Any], read: Callable[[Table], Any], mistake: str) -> None:
    top, notes = table(data)
    read(top)

    assert notes == [f"m/f.toml {mistake}"]


def test_getters_return_what_is_declared(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    top, notes = table({"t": "a", "b": True, "n": 0.5, "s": "2x4", "l": ["a", "b"], "c": [["x", "y"]], "p": "file"})

    assert (top.text("t"), top.flag("b"), top.number("n", low=0, high=1)) == ("a", True, 0.5)
    assert (top.shape("s"), top.shapes("s")) == (MeshShape(rows=2, cols=4), (MeshShape(rows=2, cols=4),))
    assert (top.texts("l"), top.texts("t"), top.commands("c")) == (("a", "b"), ("a",), (("x", "y"),))
    assert top.path("p", tmp_path) == "file"
    assert notes == []


def test_missing_optional_keys_have_defaults() -> None:
    top, notes = table({})

    assert (top.text("t", None), top.flag("b", False), top.texts("l", ("x",))) == (None, False, ("x",))
    assert (top.shapes("s"), top.rows("r")) == ((), [])
    assert notes == []


def test_close_notes_keys_nobody_read() -> None:
    top, notes = table({"about": "x", "abuot": "y"})
    top.text("about")
    top.close()

    assert notes == ["m/f.toml abuot: unknown key; did you mean about? choose from about"]


def test_missing_table_is_noted_once() -> None:
    top, notes = table({})
    top.table("decode").count("tp")

    assert notes == ["m/f.toml decode: missing; expected a table"]


def test_rows_are_numbered_from_one() -> None:
    top, notes = table({"floor": [{"a": "x"}, {}]})
    for row in top.rows("floor"):
        row.text("a")

    assert notes == ["m/f.toml [[floor]] 2 a: missing; expected a non-empty string"]


def test_names_of_unread_file_go_unchecked() -> None:
    top, notes = table({"key": "anything"})
    top.name("key", Known("mesh", None))

    assert notes == []


def test_reader_notes_unreadable_files(tmp_path: Path) -> None:
    tmp_path.joinpath("bad.toml").write_text("a = 1\nb = = 2\n", encoding="utf-8")
    tmp_path.joinpath("latin.toml").write_bytes(b'a = "\xe9"\n')
    tmp_path.joinpath("folder.toml").mkdir()
    reader = Reader(tmp_path)
    for name in ("bad.toml", "gone.toml", "latin.toml", "folder.toml"):
        reader.file(name).text("key")

    bad, gone, latin, folder = reader.mistakes
    assert bad == f"{tmp_path.name}/bad.toml: malformed TOML: Invalid value (at line 2, column 5)"
    assert gone == f"{tmp_path.name}/gone.toml: missing; expected this file in {tmp_path}"
    assert latin.startswith(f"{tmp_path.name}/latin.toml: unreadable: 'utf-8' codec can't decode byte 0xe9")
    assert folder.startswith(f"{tmp_path.name}/folder.toml: unreadable: [Errno 21] Is a directory")

"""Where leases are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshsweep.errors import InfraError
from meshsweep.leases import place


def test_named_place_wins(tmp_path: Path) -> None:
    assert place.find({"MESHSWEEP_LEASES": str(tmp_path)}, system=tmp_path) == tmp_path


def test_place_is_the_same_for_all_users(tmp_path: Path) -> None:
    """It follows from what all users may do, not from what the one who asks may."""
    tmp_path.chmod(0o755)
    private = place.find({"TMPDIR": str(tmp_path)}, system=tmp_path)
    tmp_path.chmod(0o1777)

    assert str(private) == "/tmp/meshsweep-leases"
    assert place.find({}, system=tmp_path) == tmp_path / "meshsweep"
    assert place.find({}, system=tmp_path / "missing") == private


def test_place_is_open_to_all(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "leases"
    before = os.umask(0o077)
    try:
        place.prepare(directory)
        place.prepare(directory)
    finally:
        os.umask(before)

    assert directory.stat().st_mode & 0o7777 == 0o1777


def test_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        InfraError, match="file: cannot keep leases: it is no directory that you can write to; set MESH"
    ):
        place.prepare(tmp_path / "file")
    with pytest.raises(
        InfraError, match="cannot keep leases: File exists; set MESHSWEEP_LEASES to a directory that every"
    ):
        place.prepare(tmp_path / "file" / "below")


def test_linked_place_of_everybody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    place.prepare(tmp_path / "link")
    monkeypatch.setattr(place, "_FALLBACK", tmp_path / "link")

    with pytest.raises(
        InfraError, match="link: cannot keep leases: it is a symbolic link; remove it, or set MESHSWEEP_"
    ):
        place.prepare(tmp_path / "link")


def test_lease_log_is_wanted_by_name(tmp_path: Path) -> None:
    assert place.log({"MESHSWEEP_LEASE_LOG": str(tmp_path / "log")}) == tmp_path / "log"
    assert place.log({}) is None

"""Words that several outputs share."""

from __future__ import annotations

from meshsweep.words import count


def test_one_thing_is_no_plural():
    assert [count(1, "test"), count(2, "test"), count(0, "mesh", "meshes")] == ["1 test", "2 tests", "0 meshes"]

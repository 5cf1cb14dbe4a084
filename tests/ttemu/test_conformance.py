"""Every recorded call gives what the real ttnn 0.81.1 gave on a mock T3K cluster.

Compared are shape, padded shape, dtype, layout and memory config of a result, or the class of an error.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import ttemu as ttnn
from tests.ttemu.conformance import RECORDED, calls, namespace, outcome
from tests.ttemu.conftest import SHAPES

RECORDS: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))

# Where the real library dies, the emulator says so.
CRASH = {"error": "crash"}
REFUSAL = {"error": "RuntimeError"}


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return the names that calls are written in, on the machine that they were recorded on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTEMU_MACHINE", "t3k")
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
        return namespace(ttnn, ttnn.open_mesh_device(ttnn.MeshShape(*SHAPES["1x8"])))


@pytest.mark.parametrize("call", calls())
def test_call_gives_the_recorded_outcome(call: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTEMU_MACHINE", "t3k")
    expected = REFUSAL if RECORDS[call] == CRASH else RECORDS[call]

    assert outcome(ttnn, names, call) == expected


def test_every_call_is_recorded_once() -> None:
    listed = calls()

    assert len(set(listed)) == len(listed)
    assert set(listed) == RECORDS.keys()

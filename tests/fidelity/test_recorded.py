"""The emulator gives what the real ttnn gave to every recorded call; the calls are those that the corpus draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ttemu
from tests.fidelity.case import RECORDED, Case, recorded
from tests.fidelity.compare import compare, exemptions
from tests.fidelity.corpus import corpus
from tests.fidelity.language import names
from tests.fidelity.outcome import outcome
from tests.fidelity.player import MACHINES, open_mesh, set_fabric

OPS = sorted(path.stem for path in RECORDED.glob("*.txt"))


@pytest.fixture(scope="module")
def known() -> Iterator[dict[str, dict[str, Any]]]:
    """Return the names that calls are written in, by mesh."""
    with pytest.MonkeyPatch.context() as patch:
        spoken = {}
        for mesh, (machine, _) in MACHINES.items():
            patch.setenv("TTEMU_MACHINE", machine)
            spoken[mesh] = names(ttemu, open_mesh(ttemu, mesh))
        yield spoken
        ttemu.set_fabric_config(ttemu.FabricConfig.DISABLED)


@pytest.mark.parametrize("op", OPS)
def test_calls_give_what_the_real_library_gave(
    op: str, known: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recorded(ops=[op])
    ours = {}
    for mesh in MACHINES:
        monkeypatch.setenv("TTEMU_MACHINE", MACHINES[mesh][0])
        ttemu.set_fabric_config(ttemu.FabricConfig.DISABLED)
        set_fabric(ttemu, mesh)
        for case in real:
            if case.mesh == mesh:
                ours[case] = outcome(ttemu, known[mesh], case.call).text

    result = compare(real, ours, exemptions())

    assert not result.differences


def test_recorded_calls_are_the_corpus() -> None:
    def grouped(cases: list[Case]) -> dict[str, list[Case]]:
        return {op: [case for case in cases if case.op == op] for op in sorted({case.op for case in cases})}

    assert grouped(list(recorded())) == grouped(corpus())

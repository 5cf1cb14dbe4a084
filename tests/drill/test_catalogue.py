"""Every fault can be named, finds its place in the code, and leaves no trace."""

from __future__ import annotations

import pytest

from gptoss.component import Component
from gptoss.rms_norm import RMSNorm
from tests.drill.catalogue import AREAS, FAULTS
from tests.drill.fault import Fault, Patch, UnknownFaultError, fault, find
from ttemu import formats


def test_no_two_faults_share_a_name():
    declared = [fault.name for area in AREAS for fault in vars(area).values() if isinstance(fault, Fault)]

    assert len(declared) == len(set(declared)) == len(FAULTS)
    assert len(FAULTS) >= 30


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_told_in_a_sentence(name):
    about = FAULTS[name].about

    assert about.endswith(".")
    assert len(about.split()) >= 5


@pytest.mark.parametrize("name", FAULTS)
def test_fault_runs_on_a_declared_cell(name, matrix):
    cell = FAULTS[name].cell

    assert (cell.mesh in matrix.meshes, cell.dtype in matrix.dtypes, cell.scale in matrix.scales) == (True,) * 3


@pytest.mark.parametrize("name", FAULTS)
def test_fault_finds_its_place_and_leaves_no_trace(name):
    with FAULTS[name].injected() as patch:
        put = [(owner, key, vars(owner)[key]) for owner, key in patch.replaced]

    assert put
    assert all(vars(owner).get(key) is not value for owner, key, value in put)


def test_unknown_name_lists_those_like_it():
    with pytest.raises(UnknownFaultError, match="no fault 'drop_colum_reduce'; did you mean drop_column_reduce"):
        find(FAULTS, "drop_colum_reduce")
    with pytest.raises(UnknownFaultError, match=r"no fault 'q'; `python -m tests\.drill --list` shows all"):
        find(FAULTS, "q")


def test_inherited_method_is_taken_away_again():
    patch = Patch()

    patch.around(RMSNorm, "weight")(lambda real, self, name: None)
    assert "weight" in vars(RMSNorm)
    patch.undo()

    assert "weight" not in vars(RMSNorm)
    assert RMSNorm.weight is Component.weight


def test_function_is_replaced_wherever_it_was_imported():
    from ttemu import frame

    patch = Patch()
    patch.everywhere(formats, "store")(lambda real, values, dtype: "replaced")

    try:
        assert frame.store(None, None) == formats.store(None, None) == "replaced"
        assert patch.calls == 2
    finally:
        patch.undo()
    assert frame.store is formats.store


def test_op_is_replaced_for_one_module_alone():
    import ttnn

    from gptoss import layer, rms_norm

    patch = Patch()
    patch.op(layer, "add")(lambda real, x, y: x + y)

    try:
        assert (layer.ttnn.add(1, 2), patch.calls) == (3, 1)
        assert layer.ttnn.linear is ttnn.linear
        assert rms_norm.ttnn is ttnn
    finally:
        patch.undo()
    assert layer.ttnn is ttnn


def test_fault_is_named_and_told_by_its_function():
    @fault("1x2", scale="tiny-padded")
    def lose_a_digit(patch):
        """The last digit
        is lost."""

    assert (lose_a_digit.name, lose_a_digit.about) == ("lose_a_digit", "The last digit is lost.")
    assert str(lose_a_digit.cell) == "1x2-bfloat8_b-tiny-padded"
    assert lose_a_digit.suite == ("tests/unit",)

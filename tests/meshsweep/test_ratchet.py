"""Floors that follow from measured numbers: they rise on enough data, and fall for a reason only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from meshsweep.cell import Cell
from meshsweep.errors import UserError
from meshsweep.matrix import Floor
from meshsweep.numerics.floors import unexplained
from meshsweep.numerics.ratchet import turn
from meshsweep.numerics.samples import Sample

MESHES = ("1x1", "1x8")


def sample(measure: str, value: float, **changes: object) -> Sample:
    """Return one number of mlp in bfloat16."""
    cell = Cell(mesh=str(changes.pop("mesh", "1x1")), dtype="bfloat16", scale=str(changes.pop("scale", "tiny")))
    known = {"component": "mlp", "test": f"f.py::test_x[{cell}]", "seed": "1", "environment": "fake"}
    return Sample(measure=measure, value=value, cell=cell, **{"has_passed": True, **known, **changes})  # type: ignore[arg-type]


def both(pcc: float, error: float, **changes: object) -> list[Sample]:
    """Return the numbers of one comparison."""
    errors = ("max_error", "rms_error", "slope_error")
    return [sample("pcc", pcc, **changes), *(sample(name, error, **changes) for name in errors)]


def everywhere(pcc: float, error: float, *, seeds: int = 1, **changes: object) -> list[Sample]:
    """Return the same numbers on every mesh, for some seeds."""
    return [
        one
        for mesh in MESHES
        for seed in range(seeds)
        for one in both(pcc, error, mesh=mesh, seed=str(seed), **changes)
    ]


def alike(pcc: float, error: float) -> dict[str, float]:
    """Return bounds whose errors are the same."""
    return {"pcc": pcc, **dict.fromkeys(("max_error", "rms_error", "slope_error"), error)}


def bounds(floors: Iterable[Floor]) -> dict[tuple[str | None, str | None], dict[str, float]]:
    """Return the bounds by scale and mesh."""
    return {(row.scale, row.mesh): dict(row.bounds) for row in floors}


BEFORE = turn([], everywhere(0.99, 0.1)).floors


def test_new_component_gets_a_row_with_its_margin() -> None:
    (row,) = BEFORE

    assert row == Floor(
        component="mlp",
        dtype="bfloat16",
        scale=None,
        mesh=None,
        **alike(0.98, 0.15),
        measured=alike(0.99, 0.1),
        measured_on={"meshes": 2, "scales": 1, "samples": 2},
    )


def test_worst_sample_counts() -> None:
    (row,) = turn([], [*both(0.999, 0.01), *both(0.99, 0.1, seed="2"), *both(0.995, 0.05, seed="3")]).floors

    assert (row.pcc, row.max_error) == (0.98, 0.15)


def test_floor_rises_with_what_is_measured() -> None:
    turned = turn(BEFORE, everywhere(0.995, 0.05))

    assert bounds(turned.floors) == {(None, None): alike(0.99, 0.075)}
    assert turned.changed == (
        "mlp in bfloat16: PCC 0.98 -> 0.99",
        "mlp in bfloat16: max error 0.15 -> 0.075",
        "mlp in bfloat16: rms error 0.15 -> 0.075",
        "mlp in bfloat16: slope error 0.15 -> 0.075",
    )


def test_measures_rise_one_by_one() -> None:
    turned = turn(BEFORE, everywhere(0.985, 0.05))

    assert bounds(turned.floors) == {(None, None): alike(0.98, 0.075)}
    assert turned.floors[0].measured == alike(0.99, 0.05)


def test_floor_never_falls_by_itself() -> None:
    turned = turn(BEFORE, everywhere(0.985, 0.12))

    assert (turned.floors, turned.changed, turned.refused) == (BEFORE, (), ())


def test_less_data_raises_nothing() -> None:
    turned = turn(BEFORE, both(0.9999, 0.001))

    assert turned.floors == BEFORE
    assert turned.waiting == (
        "mlp in bfloat16 was measured on 2 meshes, 1 scale, 2 samples, and now on 1 mesh, 1 scale, 1 sample",
    )


def test_number_beyond_its_floor_is_refused() -> None:
    turned = turn(BEFORE, everywhere(0.97, 0.1))

    assert turned.floors == BEFORE
    assert turned.refused == (
        (
            "mlp in bfloat16: PCC 0.97 beyond 0.98; find the defect, "
            "or `meshsweep thresholds --write --lower mlp --reason TEXT`"
        ),
    )


def test_no_number_is_beyond_every_floor() -> None:
    assert turn(BEFORE, everywhere(float("nan"), 0.1)).refused[0].startswith("mlp in bfloat16: PCC nan beyond 0.98")


def test_lowered_floor_keeps_its_reason_for_one_scale() -> None:
    samples = [*everywhere(0.99, 0.1), *everywhere(0.95, 0.3, scale="big")]
    turned = turn(BEFORE, samples, lower=["mlp"], reason="wider sums")

    assert bounds(turned.floors) == {
        (None, None): alike(0.98, 0.15),
        ("big", None): alike(0.9, 0.45),
    }
    assert [row.reason for row in turned.floors] == [None, "wider sums"]


def test_lowered_row_falls_in_its_place() -> None:
    first = turn(BEFORE, everywhere(0.95, 0.3, scale="big"), lower=["mlp"], reason="one").floors
    second = turn(first, everywhere(0.85, 0.4, scale="big"), lower=["mlp"], reason="two").floors

    assert bounds(second)["big", None] == alike(0.7, 0.45)
    assert [row.reason for row in second] == [None, "two"]


def test_reason_goes_when_the_floor_has_risen() -> None:
    first = turn(BEFORE, everywhere(0.95, 0.3, scale="big"), lower=["mlp"], reason="one").floors

    assert [row.reason for row in turn(first, everywhere(0.99, 0.1, scale="big")).floors] == [None, None]


def test_lowering_what_was_not_measured_is_refused() -> None:
    with pytest.raises(UserError, match="--lower mpl: not measured in these runs; did you mean mlp"):
        turn(BEFORE, everywhere(0.9, 0.1), lower=["mpl"], reason="x")


def test_no_row_is_made_of_a_failed_test() -> None:
    turned = turn([], both(0.99, 0.1, has_passed=False))

    assert turned.floors == ()
    assert turned.refused == (
        "mlp in bfloat16: no floor is made of tests that failed: f.py::test_x[1x1-bfloat16-tiny]",
    )


def test_no_row_is_made_of_some_measures_only() -> None:
    turned = turn([], [sample("pcc", 0.99), sample("max_error", 0.1)])

    assert turned.floors == ()
    assert turned.refused == (
        "mlp in bfloat16: no test recorded its rms error, slope error; a floor bounds all of them",
    )


def test_no_row_is_made_of_a_defect() -> None:
    turned = turn([], both(0.85, 0.9))

    assert turned.floors == ()
    assert turned.refused == (
        (
            "mlp in bfloat16: PCC 0.85000 is no rounding; find the defect, "
            "or `meshsweep thresholds --write --lower mlp --reason TEXT`"
        ),
    )
    assert turn([], both(0.85, 0.9), lower=["mlp"], reason="four bits").floors[0].reason == "four bits"


def test_scale_that_needs_less_gets_a_row_of_its_own() -> None:
    samples = [*everywhere(0.99, 0.1, seeds=3, scale="padded"), *everywhere(0.9999, 0.01, seeds=3)]
    turned = turn([], samples)

    assert bounds(turned.floors) == {
        (None, None): alike(0.98, 0.15),
        ("tiny", None): alike(0.9998, 0.015),
    }
    assert [row.measured_on["samples"] for row in turned.floors] == [6, 6]
    assert turn(turned.floors, samples).changed == ()


def test_row_that_stands_is_parted_by_as_much_data_only() -> None:
    before = turn([], everywhere(0.99, 0.1, seeds=20)).floors
    some, all_of_it = everywhere(0.9999, 0.01, seeds=5), everywhere(0.9999, 0.01, seeds=20)

    assert turn(before, [*some, *both(0.99, 0.1, scale="padded")]).floors == before
    assert set(bounds(turn(before, [*all_of_it, *both(0.99, 0.1, scale="padded")]).floors)) == {
        (None, None),
        ("tiny", None),
    }


def test_new_component_is_parted_by_what_there_is() -> None:
    # Real sizes run on few meshes.
    samples = [*everywhere(0.99, 0.1, seeds=20), *everywhere(0.9999, 0.01, seeds=3, scale="big")]

    assert set(bounds(turn([], samples).floors)) == {(None, None), ("big", None)}


def test_mesh_that_needs_half_gets_a_row_of_its_own() -> None:
    wide = [one for seed in range(6) for one in both(0.99, 0.1, mesh="1x8", seed=str(seed))]
    near = [one for seed in range(6) for one in both(0.999, 0.04, mesh="1x1", seed=str(seed))]

    assert set(bounds(turn([], [*wide, *near]).floors)) == {(None, None), ("tiny", "1x1")}
    assert set(bounds(turn([], [*wide, *near[:20]]).floors)) == {(None, None)}, "five samples say too little"


def test_lowering_one_bound_loosens_no_other() -> None:
    samples = [*both(0.985, 0.14), *both(0.985, 0.14, mesh="1x8"), sample("pcc", 0.97, test="g.py::test_y")]
    turned = turn(BEFORE, samples, lower=["mlp"], reason="rounds twice")

    assert bounds(turned.floors) == {(None, None): alike(0.98, 0.15), ("tiny", None): alike(0.94, 0.15)}
    assert turned.floors[1].measured == alike(0.97, 0.14)


def test_bound_that_nothing_measured_comes_from_the_wider_row() -> None:
    samples = [sample("pcc", 0.97, scale="big"), sample("max_error", 0.1, scale="big")]
    (_, big) = turn(BEFORE, samples, lower=["mlp"], reason="rounds twice").floors

    assert big.bounds == alike(0.94, 0.15)
    assert big.measured == alike(0.97, 0.1)


def test_row_of_its_own_loosens_no_bound() -> None:
    # On the padded scale the errors are a tenth, and one value is as far off as it may be.
    close = [
        replace(one, value=0.14) if one.measure == "max_error" else one
        for one in everywhere(0.9999, 0.01, seeds=3, scale="padded")
    ]
    turned = turn(BEFORE, [*close, *both(0.99, 0.1)])

    assert bounds(turned.floors)["padded", None] == alike(0.9998, 0.015) | {"max_error": 0.15}


def test_row_of_its_own_has_the_reason_that_its_bounds_need() -> None:
    low = turn([], everywhere(0.75, 0.9, seeds=3), lower=["mlp"], reason="four bits").floors
    narrow = everywhere(0.76, 0.2, seeds=3, scale="big")
    turned = turn(low, [*narrow, *everywhere(0.75, 0.9, seeds=3)])

    assert [(row.scale, row.pcc, row.reason) for row in turned.floors] == [
        (None, 0.5, "four bits"),
        ("big", 0.52, "four bits"),
    ]
    assert [[name for name, _ in unexplained(row)] for row in turned.floors] == [["pcc"], ["pcc"]]


def test_row_that_says_nothing_of_its_data_rises_on_any() -> None:
    before = [replace(row, measured_on={}) for row in BEFORE]
    turned = turn(before, both(0.995, 0.05))

    assert bounds(turned.floors) == {(None, None): alike(0.99, 0.075)}
    assert turned.floors[0].measured_on == {"meshes": 1, "scales": 1, "samples": 1}


def generated(top1: float, top5: float, **changes: object) -> list[Sample]:
    """Return the shares of tokens of a model, on every mesh, for three seeds."""
    return [
        sample(name, value, component="generation", mesh=mesh, seed=str(seed), **changes)
        for mesh in MESHES
        for seed in range(3)
        for name, value in (("top1", top1), ("top5", top5))
    ]


def test_share_of_tokens_that_is_no_rounding_is_refused() -> None:
    turned = turn([], generated(0.6, 0.9))

    assert turned.floors == ()
    assert turned.refused == (
        (
            "generation in bfloat16: top-1 0.60000 is no rounding; find the defect, "
            "or `meshsweep thresholds --write --lower generation --reason TEXT`"
        ),
    )


def test_shares_of_tokens_are_parted_by_scale() -> None:
    samples = [*generated(0.9, 0.9, scale="padded"), *generated(1.0, 1.0)]

    assert bounds(turn([], samples).floors) == {
        (None, None): {"top1": 0.85, "top5": 0.85},
        ("tiny", None): {"top1": 0.9666, "top5": 0.9666},
    }


def test_reason_stays_with_the_rows_that_need_it() -> None:
    samples = [*everywhere(0.99, 0.1), *both(0.85, 0.9, component="rope")]
    turned = turn([], samples, lower=["mlp", "rope"], reason="four bits")

    assert [(row.component, row.reason) for row in turned.floors] == [("mlp", None), ("rope", "four bits")]


def test_shares_of_tokens_have_floors_too() -> None:
    (row,) = turn([], [sample("top1", 0.9, component="generation"), sample("top5", 1.0, component="generation")]).floors

    assert (row.bounds, row.measured) == ({"top1": 0.85, "top5": 0.9666}, {"top1": 0.9, "top5": 1.0})


def test_floors_of_others_stay() -> None:
    other = Floor(component="rope", dtype="bfloat16", scale=None, mesh=None, pcc=0.9, max_error=0.1, reason="by hand")

    assert other in turn([other], everywhere(0.99, 0.1)).floors

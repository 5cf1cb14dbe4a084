"""Seeds from test ids."""

from __future__ import annotations

import random

from meshsweep.suite.seeds import seed_everything, seed_of


def test_seed_of_an_id_is_fixed() -> None:
    # Written down: a changed hash would change every weight of every recorded run.
    assert seed_of("tests/unit/test_a.py::test_x[1x8-bfloat8_b-tiny]") == 2516800722


def test_neighbouring_ids_have_different_seeds() -> None:
    assert len({seed_of(f"test_{number}") for number in range(1000)}) == 1000


def test_another_number_gives_other_seeds() -> None:
    assert len({seed_of("test_x", number) for number in range(1000)} | {seed_of("test_x")}) == 1000


def test_same_seed_repeats_random_numbers() -> None:
    seed_everything(seed_of("test_x"))
    first = random.random()
    seed_everything(seed_of("test_x"))

    assert random.random() == first

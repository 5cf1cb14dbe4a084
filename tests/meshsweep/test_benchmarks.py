"""What the benchmarks say of figures within and over their bounds."""

from __future__ import annotations

import pytest
from benchmarks import __main__ as command
from benchmarks.decoder import Footprint
from benchmarks.lazy import Peak
from benchmarks.nightly import Span
from benchmarks.pairs import Comparison, Cost


def ratio(cpu_s, wall_s, bounded="cpu_s", bound=1.5):
    costs = {"ours": (Cost(wall_s=wall_s, cpu_s=cpu_s),), "theirs": (Cost(wall_s=1.0, cpu_s=1.0),)}
    return Comparison(name="ours", rival="theirs", bound=bound, bounded=bounded, **costs)


@pytest.mark.parametrize(
    ("figure", "is_held", "text"),
    [
        (ratio(1.5, 9.0), True, "wall 9.000, CPU 1.500 (CPU held, bound 1.5)"),
        (ratio(1.6, 0.1), False, "wall 0.100, CPU 1.600 (CPU OVER, bound 1.5)"),
        (ratio(9.0, 1.5, "wall_s"), True, "(wall held, bound 1.5)"),
        (ratio(0.1, 1.6, "wall_s"), False, "(wall OVER, bound 1.5)"),
        (ratio(9.0, 9.0, bound=None), True, "CPU 9.000 (no bound)"),
        (Peak(name="it", peak_bytes=1_990_000_000, bound_bytes=2e9), True, "peak 1.99 GB (held, bound 2 GB)"),
        (Peak(name="it", peak_bytes=2_010_000_000, bound_bytes=2e9), False, "peak 2.01 GB (OVER, bound 2 GB)"),
        (Footprint(name="it", peak_bytes=12, held_bytes=10, bound=1.3), True, "1.200 (held, bound 1.3)"),
        (Footprint(name="it", peak_bytes=14, held_bytes=10, bound=1.3), False, "1.400 (OVER, bound 1.3)"),
        (Span(name="it", wall_s=599.0, bound_s=600.0), True, "wall 599.0 s (held, bound 600 s)"),
        (Span(name="it", wall_s=601.0, bound_s=600.0), False, "wall 601.0 s (OVER, bound 600 s)"),
    ],
)
def test_figure_says_whether_its_bound_is_held(figure, is_held, text):
    assert figure.is_held is is_held
    assert text in str(figure)


@pytest.fixture
def measured(monkeypatch):
    """Return a function that gives each benchmark figures, and a list of those that ran."""
    ran = []

    def give(**figures):
        runs = {name: lambda root, *, pairs, name=name: ran.append((name, pairs)) or figures[name] for name in figures}
        monkeypatch.setattr(command, "BENCHMARKS", runs)
        return ran

    return give


HELD, OVER = ratio(1.0, 1.0), ratio(2.0, 2.0)


@pytest.mark.parametrize(
    ("figures", "arguments", "code", "told"),
    [
        ([HELD, OVER], [], 0, ""),
        ([HELD, OVER], ["--check"], 1, "benchmarks: 1 over their bounds\n"),
        ([HELD], ["--check"], 0, ""),
    ],
)
def test_check_turns_a_missed_bound_into_exit_code_1(measured, capsys, figures, arguments, code, told):
    measured(one=figures)

    assert command.main(arguments) == code
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(figure) for figure in figures]
    assert output.err == told


def test_long_benchmarks_run_by_name_alone(measured):
    ran = measured(one=[HELD], nightly=[HELD])

    command.main(["--pairs", "3"])
    command.main(["nightly"])

    assert ran == [("one", 3), ("nightly", 5)]
    assert sorted(command.LONG) == ["nightly"]


def test_unknown_benchmark_is_told_with_those_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["lasy"])
    told = capsys.readouterr().err

    assert "unknown benchmark 'lasy'; choose from decode, decoder, lazy, overhead, pieces, " in told

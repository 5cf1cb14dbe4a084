"""The comparison itself: it plays, records, compares and reports as it says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import ttemu
from tests.fidelity import case as cases
from tests.fidelity import releases, report
from tests.fidelity.__main__ import main
from tests.fidelity.case import Case
from tests.fidelity.causes import UNKNOWN, cause
from tests.fidelity.compare import Comparison, Exempt, compare, exemptions
from tests.fidelity.corpus import corpus
from tests.fidelity.corpus.registry import GENERATORS
from tests.fidelity.goldens_absent import offered
from tests.fidelity.outcome import CRASH, Outcome
from tests.fidelity.play import play

ADD = Case("add", "1x8", "ttnn.add(T(2, 3), 1)")
SUM = Case("sum", "2x4", "ttnn.sum(T(2, 3))")


def test_a_call_that_ends_its_process_is_an_outcome_and_the_next_one_is_made() -> None:
    ending = Case("add", "1x1", "__import__('os')._exit(3)")
    behind = Case("add", "1x1", "T(2, 3)")

    outcomes = play("ttemu", [ending, behind])

    assert [outcomes[case].text for case in (ending, behind)] == [
        f"the emulator: {CRASH}",  # never equal to the real library's end
        "[2, 3] padded [32, 32] BFLOAT16 TILE DRAM",
    ]


def test_a_player_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)player of nosuch on 1x8 ended with 1 .*No module named 'nosuch'"):
        play("nosuch", [ADD])


def test_what_is_written_is_read_again_and_other_files_go(tmp_path: Path) -> None:
    (tmp_path / "gone.txt").write_text("1x8 x\n    -> y\n", encoding="utf-8")
    outcomes = {ADD: "[2, 3] BFLOAT16 TILE DRAM", SUM: "RuntimeError: dim"}

    cases.write(tmp_path, outcomes)

    assert cases.recorded(tmp_path) == outcomes
    assert cases.recorded(tmp_path, ["sum"]) == {SUM: "RuntimeError: dim"}


def test_every_difference_counts_unless_an_exception_covers_call_and_both_outcomes() -> None:
    real, ours = {ADD: "RuntimeError: dtype", SUM: "[]"}, {ADD: "RuntimeError: layout", SUM: "[]"}
    covering = Exempt("odd", call=r"^ttnn\.add", real="dtype", ours="layout")

    differing = compare(real, ours, [Exempt("other", call=r"^ttnn\.add", real="layout")])
    allowed = compare(real, ours, [covering])

    assert differing.differences == [(ADD, "RuntimeError: dtype", "RuntimeError: layout")]
    assert differing.agreed == Counter(sum=1)
    assert (allowed.differences, allowed.exempt, allowed.reasons) == ([], Counter(add=1), Counter(odd=1))


def test_refusals_whose_cause_nobody_knows_do_not_agree() -> None:
    same = {ADD: f"RuntimeError: {UNKNOWN}"}

    assert compare(same, same, []).differences


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (
            "TT_FATAL @ /project/x.cpp:51: a\ninfo:\nInputs to matmul must be tilized\nbacktrace:\n dtype",
            "layout",
        ),
        ("ttnn.matmul: input tensor Shape([2, 3]) must be in TILE layout, got ROW_MAJOR", "layout"),
        ("ttnn.all_gather: tensor is on host, the real library crashes here", "crash"),
        ("nothing that anybody foresaw", UNKNOWN),
    ],
)
def test_both_libraries_words_name_a_cause(text: str, word: str) -> None:
    assert cause(text) == word


def test_a_seed_draws_the_same_calls_and_another_seed_others() -> None:
    some = sorted(GENERATORS)[:3]

    assert corpus(5, ops=some) == corpus(5, ops=some)
    assert corpus(5, ops=some) != corpus(6, ops=some)
    assert len(corpus(5, scale=2.0, ops=some)) > len(corpus(5, ops=some))


def test_the_corpus_is_as_large_as_promised() -> None:
    drawn = corpus()

    assert len(drawn) >= 3_000
    assert {case.mesh for case in drawn} >= {"1x1", "1x8", "2x4", "4x8"}


#: Ops that no call of the corpus names, and why.
UNCALLED = {
    "copy": "as tt-metal's main has it; tested in tests/ttemu",
    "experimental.minimal_matmul_strided_reduce_scatter_async": "fused; its parts are called",
    "is_tensor_storage_on_device": "a question, tested in tests/ttemu",
    "manual_seed": "gives nothing to compare",
    "sampling": "draws are not compared; its refusals are in tests/ttemu",
}


def test_every_op_is_called_or_has_a_reason() -> None:
    calls = "\n".join(case.call for case in corpus())
    called = {op for op in offered(ttemu) if re.search(rf"\bttnn\.{re.escape(op)}\(", calls)}

    assert offered(ttemu) - called == UNCALLED.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--op", "matmull"], "unknown op 'matmull'; did you mean matmul or "),
        (["--record", "--short"], "--record keeps everything"),
        (["--record", "--part", "goldens"], "--record keeps everything"),
        (["--record", "--scale", "2"], "--record keeps everything"),
    ],
)
def test_command_refuses_what_would_say_or_keep_too_little(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert words in capsys.readouterr().err


def test_every_exception_has_a_reason_of_its_own_and_covers_not_everything() -> None:
    rules = exemptions()

    assert len({rule.reason for rule in rules}) == len(rules)
    assert all(rule.call or rule.real or rule.ours or rule.both for rule in rules)


def test_exception_can_ask_for_what_both_have_in_common() -> None:
    rule = Exempt("padding", both=r"^\[(\d+)\] padded .* => \[\1\]$")

    assert rule.covers(ADD, "[3] padded [32]", "[3]")
    assert not rule.covers(ADD, "[3] padded [32]", "[4]")


def test_releases_are_compared_by_names_and_calls() -> None:
    then = {ADD: "[2, 3] BFLOAT16 TILE DRAM", SUM: "[]"}
    now = {ADD: Outcome("RuntimeError: dtype"), SUM: Outcome("[]")}

    text = releases.render("0.1.0", then, now, {"ttnn.add", "ttnn.old"}, {"ttnn.add", "ttnn.new"})

    assert "Of 2 calls, 1 give the same" in text
    assert "**Only in 0.1.0:** `ttnn.new`." in text
    assert f"**Only in {releases.recorded_release()}:** `ttnn.old`." in text
    assert "## add: 1" in text
    assert "    0.1.0: RuntimeError: dtype" in text
    assert "## sum" not in text


def test_report_has_a_row_for_each_op_and_a_line_for_each_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "fidelity.md")
    rule = Exempt("a bug of its own", call="add")
    counted = Comparison(
        cases=Counter(add=3, sum=2),
        agreed=Counter(add=2, sum=2),
        exempt=Counter(add=1),
        reasons=Counter({rule.reason: 1}),
    )

    report.write("1.2.3", counted, [rule], {})

    text = (tmp_path / "fidelity.md").read_text(encoding="utf-8")
    assert "| add | 3 | 2 | 1 |\n| sum | 2 | 2 |  |\n" in text
    assert "- a bug of its own (1)\n" in text
    assert "5 calls of 2 kinds: 4 agreed, 1 allowed exceptions, 0 differ" in text

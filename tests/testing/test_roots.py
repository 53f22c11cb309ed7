"""A reward that is wrong as a whole is told so once, and failures that are alike share what they say."""

from __future__ import annotations

import time
from typing import Any

import pytest

import lydite
from lydite.testing.wording import explained


def misspelt(text: str, refrence: str) -> float:
    return float(text == refrence)


def counted(text: str, difficulty: int) -> float:
    return float(len(text) > difficulty)


def spoken(text: str) -> Any:
    return "yes"


def broken(text: str) -> float:
    raise KeyError("gold")


def always(text: str) -> float:
    return 1.0


def hanging(text: str) -> float:
    time.sleep(60)
    return 1.0


def loose(text: str, reference: str) -> float:
    return float(bool(reference) and str(reference) in text)


@pytest.mark.parametrize(
    ("reward", "got", "note"),
    [
        (misspelt, "column.missing", "rename the parameter 'refrence' to 'reference', or give each row"),
        (counted, "column.missing", 'give each row the column: "columns": {"difficulty": ...}'),
        (spoken, "returned 'yes' (str)", "mend this first"),
        (broken, "raised KeyError: 'gold'", "mend this first"),
    ],
)
def test_a_reward_that_judges_nothing(checked: Any, reward: Any, got: str, note: str) -> None:
    report = checked(reward)
    item = report.find("cases/judges-the-rows")
    assert (got in item.got, item.note.startswith(note)) == (True, True), item
    told = list(explained(report))
    assert sum("FAILED" in line for line in told) == 1
    assert any("--verbose lists all" in line for line in told)
    assert sum("FAILED" in line for line in explained(report, verbose=True)) > 30


def test_a_reward_that_always_says_the_same(checked: Any) -> None:
    report = checked(always)
    assert report.find("tells-answers-apart").got == "pass, score 1 for each"
    assert sum("FAILED" in line for line in explained(report)) == 1
    with pytest.raises(AssertionError, match="teaches nothing"):
        report.raise_for_failures()


def test_a_reward_that_hangs_is_left_after_two_rows(checked: Any) -> None:
    began = time.monotonic()
    report = checked(lydite.reward(timeout=0.3)(hanging))
    assert time.monotonic() - began < 20
    assert report.find("answers-in-time").expected == "a verdict within 0.3 s"
    assert [one.name for one in report.sections] == ["cases", "security"]
    assert sum("FAILED" in line for line in explained(report)) == 1


def test_an_error_that_the_table_expects_is_no_fault(checked: Any, failed: Any) -> None:
    rows = [{"completion": f"text {n}", "expected": "error"} for n in range(6)]
    assert "judges-the-rows" not in failed(checked(broken, rows, pays_for="form"))


def test_failures_that_are_alike_share_what_they_say(checked: Any, kit: Any) -> None:
    told = list(explained(checked(loose, write=kit.plain)))
    attacks = told[next(n for n, line in enumerate(told) if line.startswith("  attacks")) :]
    first = next(n for n, line in enumerate(attacks) if line == "    FAILED two-answers")
    assert attacks[first + 2] == "    FAILED two-answers-reversed"
    assert attacks[first + 4 : first + 7] == [
        "      both expected: no pass",
        "      both got: pass, score 1",
        "      what to do: an answer that names two is none",
    ]

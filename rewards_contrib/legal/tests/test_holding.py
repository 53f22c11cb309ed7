from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite_legal import holding

RIGHT = 1.0, "holding.right"


def outcome(answer: str, reference: Any = "yes", **options: Any) -> tuple[float | None, str]:
    verdict = holding(answer, reference, **options)
    return verdict.score, verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        "Answer: yes",
        "answer: YES.",
        "**Answer:** Yes",
        "**Answer: yes**",
        "Answer - yes",
        "The answer is yes.",
        "Therefore, the answer is: yes",
        "The court held: yes.",
        "Holding: Yes, because she paid.",
        "Holding: Yes, no notice was given.",
        "Answer: yes under Marsh v. Dell",
        "Answer:\n\nYes",
        "## Conclusion\nYes.",
        "No notice was needed.\nAnswer: yes",
        "She paid.\n\nYes.",
        "yes",
        "Conclusion: The buyer wins.\nAnswer: yes",
        "Conclusion\n==========\nYes",
        "<answer>yes</answer>",
        "Answer: \\boxed{yes}",
        "Answer: 'yes'",
        "Answer: yes. Answer: yes.",
        "<think>Answer: no</think>\nAnswer: yes",
        "Answer: \uff59es",  # a fullwidth y
    ],
)
def test_a_clear_yes(answer: str) -> None:
    assert outcome(answer) == RIGHT
    assert outcome(answer, "no") == (0.0, "holding.wrong")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "answer.empty"),
        ("She paid.", "holding.missing"),
        ("yes\nShe paid.", "holding.missing"),
        ("<think>Answer: yes</think>She paid.", "holding.missing"),
        ("I think yes", "holding.missing"),
        ("Answer:", "holding.unclear"),
        ("Answer: it depends, but yes", "holding.unclear"),
        ("Answer: maybe yes", "holding.unclear"),
        ("Answer: yes\nConclusion: a zebra", "holding.unclear"),
        ("Answer: a zebra\nAnswer: yes", "holding.unclear"),
        ("Answer: Yes consent was given", "holding.unclear"),
        ("Answer: yesterday", "holding.unclear"),
        ("Answer: a zebra or yes", "holding.unclear"),
        ("yes\nAnswer: ", "holding.unclear"),
        ("Answer: not yes", "holding.negated"),
        ("Answer: yes - not", "holding.negated"),
        ("Answer: yes or no", "holding.several"),
        ("Answer: yes/no", "holding.several"),
        ("Answer: yes, or a zebra", "holding.several"),
        ("Answer: Yes. No, rather.", "holding.several"),
        ("Answer: yes; but no if she paid", "holding.several"),
        ("Answer: yes\nAnswer: no", "holding.several"),
        ("Answer: yes\nno", "holding.several"),
        ("Yes\nNo\nYes", "holding.several"),
        ("x" * 30_000, "text.long"),
    ],
)
def test_what_states_no_single_holding(answer: str, reason: str) -> None:
    assert outcome(answer) == (0.0, reason)
    assert outcome(answer, "no")[0] == 0.0


def test_options() -> None:
    three = ("affirmed", "reversed", "reversed and remanded")
    assert outcome("Disposition: Affirmed.", "affirmed", choices=three) == RIGHT
    assert outcome("Disposition: reversed and remanded", "reversed and remanded", choices=three) == RIGHT
    assert outcome("Disposition: reversed and remanded", "reversed", choices=three) == (0.0, "holding.wrong")
    assert outcome("Disposition: affirmed, reversed", "affirmed", choices=three) == (0.0, "holding.several")
    assert outcome("Outcome: yes", anchors=("outcome",)) == RIGHT
    assert outcome("Outcome: yes", last=False) == (0.0, "holding.missing")
    assert outcome("She paid.\nYes.", last=False) == (0.0, "holding.missing")


def test_references() -> None:
    assert outcome("Answer: yes", True) == RIGHT
    assert outcome("Answer: no", False) == RIGHT
    assert outcome("Answer: yes", " Yes. ") == RIGHT
    for broken in ("maybe", None, 7, "2024-03-15", ["yes"]):
        verdict = holding("Answer: yes", broken)
        assert (verdict.status, verdict.reason, verdict.scope) == (Status.ABSTAIN, "reference.not_a_choice", "prompt")


@given(st.text(max_size=80), st.sampled_from(["yes", "no"]))
def test_at_most_one_reference_is_right(text: str, said: str) -> None:
    for answer in (text, f"{text}\nAnswer: {said}"):
        assert sum(outcome(answer, one)[0] == 1.0 for one in ("yes", "no")) <= 1


@given(st.permutations(["Answer: yes", "Holding: no", "The buyer paid."]))
def test_two_holdings_are_none_in_any_order(lines: list[str]) -> None:
    assert outcome("\n".join(lines)) == (0.0, "holding.several")

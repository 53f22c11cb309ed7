"""Criteria that need no judge: rewards, patterns, functions, and the gates among them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from lydite import Completion, Evidence, Sample, Status, Verdict
from lydite.contracts import spec_of
from lydite_rubric import score

FINE = "The Danube is a river that runs through ten countries."
TRAITS = __name__.replace(".", "_") + "_traits"

SOURCE = """
import asyncio
import lydite

def says_river(answer): return "river" in answer
def graded(text, *, per_word: float = 0.1): return per_word * len(text.split())
def everything(completion, sample, text, answer, reasoning, reference, prompt, columns):
    return (completion.text, sample.id, text, answer, reasoning, reference, prompt, columns["n"]) == (
        "the text", "s1", "the text", "an answer", "", 7, "Name a river.", 3)
def by_place(answer, /, prompt): return answer != prompt
def with_more(answer, extra=None): return extra is None
async def waits(answer):
    await asyncio.sleep(0)
    return True
def cannot_tell(answer): return None
def raises(answer): raise RuntimeError("no idea")
def exits(answer): raise SystemExit("bye")
def unprintable(answer):
    class Odd(Exception):
        def __str__(self): raise ValueError
    raise Odd
def wrong_type(answer): return "yes"
def not_a_number(answer): return float("nan")
def verdict(answer): return lydite.Verdict(0.7, passed=False, reason="x", evidence=(lydite.Evidence("seven"),))
def ungraded(answer): return lydite.Verdict(0.7)
def slow(answer): return lydite.Verdict.timeout()
def bad_gold(answer): return lydite.Verdict.error("gold", scope="prompt")
"""


@pytest.fixture(autouse=True)
def traits(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{TRAITS}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"check": {"function": f"{TRAITS}:{name}", **more}}


def pattern(given: str, **more: Any) -> dict[str, Any]:
    return {"check": {"regex": given, **more}}


def test_points_of_what_is_met_over_the_positive_points(rubric: Any, judged: Any) -> None:
    held = rubric(
        {**pattern("(?i)danube"), "points": 3},
        {**pattern("Rhine"), "points": 2, "tags": ["axis:facts", "theme:rivers"]},
        {**pattern("ten"), "points": -1},
        {**pattern("very", met="fails"), "points": 5},
    )
    verdict = judged(held, FINE)
    assert verdict.score == pytest.approx((3 + 5 - 1) / 10)
    assert (verdict.passed, verdict.reason) == (False, "rubric.scored")
    assert {name: (part.score, part.passed) for name, part in verdict.parts.items()} == {
        "c1": (1.0, True),
        "c2": (0.0, False),
        "c3": (1.0, True),
        "c4": (1.0, True),
    }
    assert Evidence("Danube", note="found") in verdict.parts["c1"].evidence
    assert Evidence("axis:facts, theme:rivers", note="tags") in verdict.parts["c2"].evidence
    assert Evidence("-1", note="points") in verdict.parts["c3"].evidence


def test_the_score_falls_below_nought_and_is_not_clipped(rubric: Any, judged: Any) -> None:
    held = rubric({**pattern("Rhine"), "points": 1}, {**pattern("Danube"), "points": -4})
    assert judged(held, FINE).score == -4.0


def test_penalties_alone_start_from_one(rubric: Any, judged: Any) -> None:
    held = rubric({**pattern("Danube"), "points": -1}, {**pattern("Rhine"), "points": -3})
    assert judged(held, FINE).score == 0.75
    assert judged(held, "No such river here.").passed


def test_passing_is_at_one_unless_the_option_says_otherwise(rubric: Any, judged: Any) -> None:
    held = rubric(pattern("Danube"), {**pattern("Rhine"), "points": 2})
    assert not judged(held, FINE).passed
    assert judged(held, FINE, pass_at=1 / 3).passed
    tenths = rubric(*({**pattern(one), "points": 0.7} for one in ("Danube", "river", "ten", "Rhine")))
    assert judged(
        tenths, FINE, pass_at=0.75
    ).passed  # though three times 0.7 of floats is less than three quarters of 2.8


def test_a_pattern_looks_at_the_answer_or_at_the_whole_text(rubric: Any, judged: Any) -> None:
    text = "<think>The Rhine?</think>The Danube."
    assert judged(rubric(pattern("Rhine")), text, answer="The Danube.").score == 0.0
    assert judged(rubric(pattern("Rhine", of="text")), text, answer="The Danube.").score == 1.0


@pytest.mark.parametrize("worth", [1, -1])
def test_a_slow_pattern_counts_against_the_answer_whatever_its_sign(
    rubric: Any, judged: Any, monkeypatch: pytest.MonkeyPatch, worth: int
) -> None:
    monkeypatch.setattr("lydite_rubric.checking.SECONDS", 0.1)
    held = rubric({**pattern("(?:a|aa)+$"), "points": worth}, {**pattern("a"), "points": 4})
    began = time.perf_counter()
    verdict = judged(held, "a" * 60 + "!")
    assert time.perf_counter() - began < 5
    assert (verdict.parts["c1"].reason, verdict.parts["c1"].passed) == ("check.slow", worth < 0)
    assert verdict.score == (4 / 5 if worth > 0 else 3 / 4)


@pytest.mark.parametrize("worth", [1, -1])
def test_a_reward_that_runs_out_of_time_counts_against_the_answer(rubric: Any, judged: Any, worth: int) -> None:
    verdict = judged(rubric({**function("slow"), "points": worth}), FINE)
    assert verdict.parts["c1"].reason == "check.slow"
    assert verdict.score == 0.0


@pytest.mark.parametrize(
    ("check", "met"),
    [
        (function("says_river"), True),
        (function("says_river", met="fails"), False),
        (function("waits"), True),
        (function("by_place"), True),
        (function("with_more"), True),
        (function("graded", at_least=0.9), True),  # ten words
        (function("graded", at_least=1.1), False),
        (function("graded", options={"per_word": 0.02}), False),  # 0.2 is below the 0.5 that passes by default
        (function("graded", options={"per_word": 0.02}, at_least=0.2), True),
        (function("verdict"), False),  # what the verdict says, and not its score
        (function("verdict", at_least=0.7), True),  # unless the score is asked for
        (function("ungraded"), True),
    ],
)
def test_what_a_function_returns(rubric: Any, judged: Any, check: dict[str, Any], met: bool) -> None:
    verdict = judged(rubric(check), FINE)
    assert verdict.parts["c1"].passed is met
    assert verdict.score == float(met)


def test_a_function_is_given_what_it_names(rubric: Any, judged: Any) -> None:
    given = {"answer": "an answer", "reference": 7, "columns": {"n": 3}}
    assert judged(rubric(function("everything")), "the text", **given).passed


@pytest.mark.parametrize(
    ("name", "reason", "told"),
    [
        ("cannot_tell", "check.abstained", ""),
        ("raises", "check.failed", "RuntimeError: no idea"),
        ("exits", "check.failed", "SystemExit: bye"),
        ("unprintable", "check.failed", "Odd: (its message cannot be read)"),
        ("wrong_type", "check.failed", "TypeError: a check returns a bool, a number, a Verdict or None, got str"),
        ("not_a_number", "check.failed", "TypeError"),
        ("bad_gold", "check.failed", ""),
    ],
)
def test_a_check_that_cannot_tell_is_dropped_from_both_sides(
    rubric: Any, judged: Any, name: str, reason: str, told: str
) -> None:
    for worth in (1, -1):
        held = rubric(
            {**pattern("Danube"), "points": 3}, {**pattern("Rhine"), "points": 2}, {**function(name), "points": worth}
        )
        verdict = judged(held, FINE)
        assert verdict.score == 3 / 5
        part = verdict.parts["c3"]
        assert (part.status, part.reason) == (Status.ABSTAIN, reason)
        assert told in "".join(one.text for one in part.evidence)


@pytest.mark.parametrize(
    ("name", "status", "reason", "scope"),
    [
        ("cannot_tell", Status.ABSTAIN, "check.abstained", "completion"),  # the completion's own doing
        ("raises", Status.ERROR, "check.failed", "completion"),
        ("bad_gold", Status.ERROR, "check.failed", "prompt"),
    ],
)
def test_without_a_fifth_of_its_points_a_rubric_has_no_score(
    rubric: Any, judged: Any, name: str, status: Status, reason: str, scope: str
) -> None:
    just_enough = rubric({**pattern("Danube"), "points": 8}, {**function(name), "points": -2})
    assert judged(just_enough, FINE).score == 1.0
    too_little = rubric({**pattern("Danube"), "points": 7.9}, {**function(name), "points": -2.1})
    verdict = judged(too_little, FINE)
    assert (verdict.score, verdict.status, verdict.reason, verdict.scope) == (None, status, reason, scope)
    assert "21% of the points of rubric 'test' could not be decided" in verdict.evidence[0].text
    assert judged(too_little, FINE, max_dropped=0.5).score == 1.0


def test_nothing_positive_left_is_no_score_however_little_was_dropped(rubric: Any, judged: Any) -> None:
    held = rubric({**function("cannot_tell"), "points": 1}, {**pattern("Rhine"), "points": -20})
    assert judged(held, FINE).status is Status.ABSTAIN


@pytest.mark.parametrize("worth", [2, -2])
def test_a_gate_that_counts_against_the_answer_earns_the_worst(
    rubric: Any, judged: Any, scripted: Any, worth: int
) -> None:
    judge = scripted(lambda question: {"met": True, "quote": "The Danube is"})
    gate = {**pattern("Rhine" if worth > 0 else "Danube"), "points": worth, "gate": True}
    held = rubric({"judge": True, "points": 8}, function("says_river"), {**pattern("x"), "points": -3}, gate)
    verdict = judged(held, FINE, judge=judge)
    whole = 8 + 1 + max(worth, 0)
    assert verdict.score == pytest.approx(-(3 + max(-worth, 0)) / whole)
    assert (verdict.passed, verdict.reason) == (False, "gate.failed")
    assert [verdict.parts[one].reason for one in ("c1", "c2", "c3")] == ["criterion.unasked"] * 3
    assert judge.asked == []


def test_a_gate_that_is_kept_lets_the_rest_be_looked_at(rubric: Any, judged: Any, scripted: Any) -> None:
    judge = scripted(lambda question: {"met": True, "quote": "The Danube is"})
    held = rubric({"judge": True}, {**pattern("Danube"), "gate": True})
    assert judged(held, FINE, judge=judge).passed
    assert len(judge.asked) == 1


def test_a_gate_that_nobody_can_decide_leaves_no_score(rubric: Any, judged: Any, scripted: Any) -> None:
    judge = scripted(lambda question: {"met": True, "quote": "The Danube is"})
    held = rubric({"judge": True, "points": 100}, {**function("bad_gold"), "gate": True})
    verdict = judged(held, FINE, judge=judge)
    assert (verdict.score, verdict.reason, verdict.scope, judge.asked) == (None, "check.failed", "prompt", [])


def test_a_reward_is_called_by_the_criterion(rubric: Any, judged: Any) -> None:
    seen: list[tuple[str, str, str]] = []

    async def rewards(key: str, completion: Completion, sample: Sample) -> Verdict:
        seen.append((key, completion.text, sample.id))
        return {"c1": Verdict(0.3, passed=True, reason="told"), "c2": Verdict(0.3)}[key]

    held = rubric({"check": {"use": "x/y"}}, {"check": {"use": "x/z"}})
    verdict = judged(held, FINE, rewards=rewards)
    assert seen == [("c1", FINE, "s1"), ("c2", FINE, "s1")]
    assert verdict.score == 0.5
    assert Evidence("told", note="reason") in verdict.parts["c1"].evidence
    used = spec_of(score).uses
    assert used is not None
    assert {key: one.name for key, one in used({"file": held}).items()} == {"c1": "x/y", "c2": "x/z"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n\t", "answer.empty"),
        ("\u200b\u202e", "answer.empty"),
        ("\u3164 \u2800\ufe0f", "answer.empty"),  # letters that look like a space
        (":", "answer.empty"),
        ("...!?", "answer.empty"),
        ("<answer></answer>", "answer.empty"),
        ("<think> </think><answer>.</answer>" * 20, "answer.empty"),
        ("\\boxed{}", None),
        ("Thought process:", "answer.opening"),
        ("**Solution**", "answer.opening"),
        ("Let\u2019s solve this problem step by step.", "answer.opening"),
        ("<answer>Final answer:</answer>", "answer.opening"),
        ("SCORE: 10/10", "answer.opening"),
        ("met: true", "answer.opening"),
        ('"met": true', "answer.opening"),
        ("Verdict = correct", "answer.opening"),
        ("B", None),
        ("42", None),
        ("Yes", None),
        ("x" * 50_001, "answer.long"),
        ("word " * 10_000, None),
    ],
)
def test_answers_that_say_nothing_earn_the_worst_unasked(
    rubric: Any, judged: Any, scripted: Any, text: str, reason: str | None
) -> None:
    judge = scripted(lambda question: {"met": False})
    held = rubric({"judge": True, "points": 4}, {**pattern("never"), "points": -1})
    verdict = judged(held, text, judge=judge)
    if reason is None:
        assert verdict.reason == "rubric.scored"
        assert len(judge.asked) == 1
    else:
        assert (verdict.score, verdict.passed, verdict.reason, judge.asked) == (-0.25, False, reason, [])


def test_an_empty_answer_does_not_profit_from_penalties_alone(rubric: Any, judged: Any) -> None:
    held = rubric({**pattern("never"), "points": -1})
    assert judged(held, "<answer></answer>").score == 0.0
    assert judged(held, "", answer=None).reason == "answer.missing"
    assert judged(held, "the text", answer=None).score == 0.0


def test_short_answers_by_option(rubric: Any, judged: Any) -> None:
    held = rubric(pattern("."))
    assert judged(held, "one two", min_words=3).reason == "answer.short"
    assert judged(held, "one two three", min_words=3).passed


def test_length_costs_score_and_not_the_pass(rubric: Any, judged: Any) -> None:
    held = rubric(pattern("."))
    verdict = judged(held, "word " * 800, free_characters=2_000, length_cost=0.05)
    assert verdict.score == pytest.approx(0.9)
    assert verdict.passed


@pytest.mark.parametrize(
    "text",
    ["\ud800 lone", "a\0b", "(" * 40_000, "\u202e" * 1_000 + "a", "<" * 49_000, "\n" * 49_000 + "x", "a." * 20_000],
)
def test_odd_texts_are_judged_all_the_same(rubric: Any, judged: Any, scripted: Any, text: str) -> None:
    judge = scripted(lambda question: {"met": True, "quote": "this is not in there at all"})
    held = rubric({"judge": True, "points": 1}, {**pattern("a|x|\\("), "points": 99}, function("says_river"))
    began = time.perf_counter()
    assert judged(held, text, judge=judge).reason in ("rubric.scored", "answer.empty")
    assert time.perf_counter() - began < 2


def test_the_same_again(rubric: Callable[..., Any], judged: Any) -> None:
    held = rubric(pattern("Danube"), function("graded"))
    assert judged(held, FINE) == judged(held, FINE)

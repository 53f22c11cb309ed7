"""Multiple choice: one option, named by its letter, its text, or both."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lydite import Completion, FormatError, Parsed, Status, Verdict
from lydite_text import choice

OPTIONS = ["offer", "acceptance", "consideration", "frustration"]


def of(text: str, reference: str = "C", options: object = OPTIONS, **settings: object) -> Verdict:
    return choice(Completion(text, Parsed(text)), reference, options, **settings)  # type: ignore[arg-type]


texts = st.lists(
    st.text(string.ascii_lowercase + " ", min_size=3, max_size=12).map(str.strip).filter(lambda one: len(one) > 2),
    min_size=2,
    max_size=6,
    unique=True,
)


@given(texts, st.data())
def test_letter_text_and_both_name_the_same_option_and_only_it(options: list[str], data: st.DataObject) -> None:
    gold = data.draw(st.integers(0, len(options) - 1))
    said = data.draw(st.integers(0, len(options) - 1))
    letter = string.ascii_uppercase[said]
    assume(all(len(" ".join(one.split())) > 2 for one in options))
    assume(len({" ".join(one.split()) for one in options}) == len(options))
    for text in (letter, f"({letter.lower()})", f"Answer: {letter}", options[said], f"{letter}. {options[said]}"):
        assert of(text, string.ascii_uppercase[gold], options).passed == (said == gold), text
        assert of(text, options[gold], options).passed == (said == gold), text


@given(texts)
def test_two_options_never_pass(options: list[str]) -> None:
    assume(len({" ".join(one.split()) for one in options}) == len(options))
    for text in ("A or B", "A, B", "A and B", "B/A", f"A. {options[1]}", f"{options[0]} or {options[1]}"):
        assert not of(text, "A", options).passed


@pytest.mark.parametrize(
    "text", ["not C", "C is not right", "C, not B", "neither C nor D", "C?\nNo: D", "All: A B C D"]
)
def test_what_takes_back_or_names_others_does_not_pass(text: str) -> None:
    assert not of(text).passed


def test_a_broken_format_fails_and_is_no_error() -> None:
    verdict = choice(Completion("C", FormatError("answer.missing")), "C", OPTIONS)
    assert (verdict.score, verdict.reason) == (0.0, "answer.missing")


@pytest.mark.parametrize("options", [None, "AB", ["one"], ["same", "same"], {"AA": "x", "B": "y"}, ["", "x"], 7])
def test_options_that_are_none_are_the_prompts_error(options: object) -> None:
    verdict = of("A", "A", options)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", "options.malformed")


def test_a_gold_that_is_no_option_is_named_with_the_nearest() -> None:
    verdict = of("A", "acceptence")
    assert verdict.reason == "reference.no_option"
    assert "did you mean 'acceptance'" in verdict.evidence[0].text


def test_an_option_that_holds_another_is_told_apart() -> None:
    options = ["void", "voidable", "not void"]
    assert of("voidable", "B", options).passed
    assert of("void", "A", options).passed
    assert of("not void", "C", options).passed
    assert not of("void", "B", options).passed

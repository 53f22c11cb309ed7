import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite import Status
from lydite_medical import choice

OPTIONS = {"A": "Aspirin", "B": "Aspirin and clopidogrel", "C": "Metformin", "D": "Insulin glargine"}


def said(text, reference="C", options=OPTIONS, prompt="Which?", **given_options):
    return choice(text, reference, options, prompt, **given_options)


@pytest.mark.parametrize("gold", "ABCD")
def test_letter_and_text_and_both(gold):
    text = OPTIONS[gold]
    for written in (
        gold,
        gold.lower(),
        f"({gold})",
        f"{gold}.",
        text,
        text.upper(),
        f"{gold}. {text}",
        f"{text} ({gold})",
    ):
        for around in (
            "{}",
            "Answer: {}",
            "The answer is {}.",
            "\\boxed{{{}}}",
            "<answer>{}</answer>",
            "So.\n\n**{}**",
        ):
            verdict = said(around.format(written), gold)
            assert verdict.passed, (around, written, verdict.reason)
            assert verdict.parsed == gold


@pytest.mark.parametrize("gold", "ABCD")
@pytest.mark.parametrize("other", "ABCD")
def test_letter_and_text_must_agree(gold, other):
    verdict = said(f"{gold}. {OPTIONS[other]}", gold)
    assert verdict.passed == (gold == other)
    if gold != other:
        assert verdict.reason == "choice.disagrees"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A, C", "choice.several"),
        ("A or C", "choice.several"),
        ("C and A", "choice.several"),
        ("A, B, C, D", "choice.several"),
        ("A\nB\nC\nD\nC", "choice.several"),
        ("Answer: A. Answer: C", "choice.several"),
        ("Answer: B\nC", "choice.several"),
        ("\\boxed{C} \\boxed{A}", "choice.several"),
        ("C because B is bad", "choice.several"),
        ("not C", "choice.negated"),
        ("The answer is not C.", "choice.negated"),
        ("C is wrong", "choice.negated"),
        ("Aspirin", "choice.wrong"),
        ("\\boxed{}", "choice.missing"),
        ("C\n\\boxed{}", "choice.missing"),
        ("C\n<answer>a zebra</answer>", "choice.unclear"),
        ("It depends.", "choice.unclear"),
        ("<think>C</think>", "answer.empty"),
        ("\u202eC\u202c", "answer.bidi"),
        ("\u0421", "choice.unclear"),  # a Cyrillic letter
        ("", "answer.empty"),
        ("C" * 30_000, "answer.long"),
    ],
)
def test_refuses(text, reason):
    verdict = said(text)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.0, False, reason)


def test_an_option_that_holds_the_gold_is_another_option():
    assert said("Aspirin and clopidogrel", "A").reason == "choice.wrong"
    assert said("Aspirin", "B").reason == "choice.wrong"


def test_reasons_before_the_answer_do_not_count():
    assert said("A lowers fever. B adds a drug.\nSo the answer is C.").passed
    assert said("<think>A? Yes, A.</think>\nC").passed
    assert said("C, because it lowers the sugar.").passed


def test_a_prompt_that_stands_before_the_answer_is_no_answer():
    prompt = "Which of the four is it?\nA. Aspirin\nC. Metformin"
    assert not said(prompt, "C", prompt=prompt).passed
    assert said(f"{prompt}\nC", "C", prompt=prompt).passed


def test_options_as_a_list_and_a_reference_as_text():
    assert said("b", "Kidney", ["Liver", "Kidney"]).passed
    assert said("Kidney", "B", ["Liver", "Kidney"]).passed


def test_abstention_is_paid_when_the_options_allow_it():
    verdict = said("I cannot tell.", abstain=["cannot tell"], abstain_score=0.25)
    assert (verdict.score, verdict.passed, verdict.reason) == (0.25, False, "choice.abstained")
    assert said("I cannot tell.").score == 0.0
    assert said("C. But I cannot tell.", abstain=["cannot tell"], abstain_score=0.25).reason != "choice.right"


@pytest.mark.parametrize(
    ("reference", "options", "reason"),
    [
        ("E", OPTIONS, "reference.not_an_option"),
        (None, OPTIONS, "reference.not_an_option"),
        (True, OPTIONS, "reference.not_an_option"),
        ("A", ["one"], "options.broken"),
        ("A", ["one", "One."], "options.broken"),
        ("A", "A or B", "options.broken"),
        ("A", {"A": "one", "a": "two"}, "options.broken"),
        ("A", {"A": ["one"], "B": "two"}, "options.broken"),
    ],
)
def test_a_broken_question_is_nobodys_fault_but_its_own(reference, options, reason):
    verdict = said("A", reference, options)
    assert (verdict.status, verdict.scope, verdict.reason) == (Status.ERROR, "prompt", reason)


WORDS = st.lists(st.text("bcdefghijk", min_size=3, max_size=8), min_size=2, max_size=6, unique=True)


@given(texts=WORDS, data=st.data())
def test_exactly_the_gold_passes(texts, data):
    letters = string.ascii_uppercase[: len(texts)]
    gold, given_letter = data.draw(st.sampled_from(letters)), data.draw(st.sampled_from(letters))
    text = texts[letters.index(given_letter)]
    for written in (given_letter, text, f"{given_letter}) {text}", f"Answer: {text}"):
        assert said(written, gold, texts).passed == (gold == given_letter)
    for joint in (", ", " or ", " and ", "\n", " / "):
        if given_letter != gold:
            assert not said(f"{given_letter}{joint}{gold}", gold, texts).passed

from typing import Any

import pytest

from lydite import Status
from lydite_legal import authorities

CASE = "Marsh v. Dell, 412 F.3d 881 (7th Cir. 2005)"
ACT = "Fairhaven Sale of Goods Act 2011, s 9"
NEUTRAL = "Castell v. Rowe, [2014] UKSC 88"
PROMPT = f"Authorities: {CASE}; {ACT}; {NEUTRAL}. Facts: Orla accepted on Saturday. Is there a contract?"
ALL = [CASE, ACT, NEUTRAL]


def outcome(answer: str, column: Any = None, **options: Any) -> tuple[float | None, str]:
    verdict = authorities(answer, PROMPT, column, **options)
    assert verdict.passed is (verdict.score == 1.0) or verdict.status is not Status.OK
    return verdict.score, verdict.reason


@pytest.mark.parametrize("column", [None, ALL, "\n".join(ALL), tuple(ALL)])
@pytest.mark.parametrize(
    "answer",
    [
        CASE,
        ACT,
        NEUTRAL,
        "No: 412 F.3d 881 (2005).",
        "Marsh v. Dell, 412 F.3d 881, 885 (7th Cir. 2005).",
        "412 F.3d at 885.",
        "In Marsh v. Dell the court said no.",
        "As Marsh v Dell has it, no.",
        "Section 9 of the Fairhaven Sale of Goods Act 2011.",
        "Fairhaven Sale of Goods Act 2011 § 9(2).",
        "The Fairhaven Sale of Goods Act, s 9.",
        "The Fairhaven Sale of Goods Act 2011 helps.",
        "Section 9 helps.",
        f"{CASE}. Id. at 883. Marsh, supra, at 884.",
        f"{CASE}; {ACT}.",
    ],
)
def test_given_authorities_pass_however_they_are_cited(answer: str, column: Any) -> None:
    assert outcome(answer, column) == (1.0, "authorities.listed")


@pytest.mark.parametrize("column", [None, ALL])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("No.", "authorities.none"),
        ("", "authorities.none"),
        ("347 U.S. 483 (1954)", "authority.unlisted"),
        (f"{CASE}, and 347 U.S. 483 (1954)", "authority.unlisted"),
        ("Marsh v. Dell, 413 F.3d 881 (2005)", "authority.unlisted"),
        ("Quill v. Stone, 412 F.3d 881 (2005)", "name.wrong"),
        ("Castell v. Marsh, [2014] UKSC 88", "name.wrong"),
        (f"{CASE}. In Quill v. Stone too.", "authority.unlisted"),
        ("Fairhaven Sale of Goods Act 2011, s 10", "authority.unlisted"),
        ("Fairhaven Sale of Goods Act 1911, s 9", "authority.unlisted"),
        (f"{ACT}. Section 12 too.", "authority.unlisted"),
        (f"{ACT}. The Tenants Protection Act 1999 too.", "authority.unlisted"),
        ("Id. at 5.", "reference.dangling"),
        ("Quill, supra, at 5.", "reference.dangling"),
        ("500 F.3d at 5.", "reference.dangling"),
        (f"{CASE} [citation needed]", "cite.malformed"),
        (PROMPT, "answer.copied"),
        ("x" * 30_000, "text.long"),
    ],
)
def test_others_fail(answer: str, reason: str, column: Any) -> None:
    assert outcome(answer, column) == (0.0, reason)


def test_options() -> None:
    assert outcome(CASE, at_least=2) == (0.5, "authorities.few")
    assert outcome(f"{CASE}; {CASE}", at_least=2) == (0.5, "authorities.few")
    assert outcome(f"{CASE}; {ACT}", at_least=2) == (1.0, "authorities.listed")
    assert outcome("No.", at_least=0) == (1.0, "authorities.none")
    assert outcome("347 U.S. 483 (1954)", at_least=0) == (0.0, "authority.unlisted")
    assert outcome(PROMPT, refuse_copies=False) == (1.0, "authorities.listed")


def test_the_column_goes_before_the_prompt() -> None:
    assert outcome(CASE, [ACT]) == (0.0, "authority.unlisted")


def test_an_authority_in_a_form_of_its_own_counts_word_for_word() -> None:
    assert outcome("See Banking Circular B-7.", ["Banking Circular B-7"]) == (1.0, "authorities.listed")
    assert outcome("See Banking Circular B-71.", ["Banking Circular B-7"]) == (0.0, "authorities.none")


def test_a_task_without_authorities_is_the_prompts_fault() -> None:
    verdict = authorities(CASE, "Is there a contract?")
    assert (verdict.status, verdict.reason, verdict.scope) == (Status.ABSTAIN, "authorities.empty", "prompt")
    assert authorities(CASE, PROMPT, []).reason == "authorities.empty"
    broken = authorities(CASE, PROMPT, 7)
    assert (broken.status, broken.reason, broken.scope) == (Status.ERROR, "authorities.unreadable", "prompt")


def test_a_conversation_is_a_prompt_too() -> None:
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT})
    assert authorities(CASE, turns).passed  # type: ignore[arg-type]


def test_reasoning_is_not_the_answer() -> None:
    assert outcome(f"<think>{CASE}</think> No.") == (0.0, "authorities.none")
    assert outcome(f"<think>347 U.S. 483 (1954)</think> {CASE}") == (1.0, "authorities.listed")


def test_the_rule_in_its_own_words_is_no_copy_of_the_prompt() -> None:
    rule = "a late acceptance forms no contract, unless the offeror says at once that it will do"
    prompt = (
        f"Authority: {CASE}: {rule}.\nFacts: Orla accepted the van on Saturday, a day late. "
        + "She heard nothing. " * 12
    )
    assert authorities(f"No. {CASE}: {rule}.", prompt).passed
    assert authorities(prompt, prompt).reason == "answer.copied"

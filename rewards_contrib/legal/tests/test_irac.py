from typing import Any

import pytest

from lydite_legal import irac

FACTS = "Tamsin moored at Quay 7 in July. The port sent a bill without notice."
ISSUE = "Whether Tamsin owes the berth fee."
RULE = "A berth fee is owed only after notice."
APPLICATION = "Tamsin moored at Quay 7 in July without any notice."
CONCLUSION = "She does not owe the berth fee."
PARTS = [("Issue", ISSUE), ("Rule", RULE), ("Application", APPLICATION), ("Conclusion", CONCLUSION)]


def memo(parts: list[tuple[str, str]], style: str = "{heading}: {text}\n") -> str:
    return "".join(style.format(heading=heading, text=text) for heading, text in parts)


def outcome(answer: str, **options: Any) -> tuple[float | None, str]:
    verdict = irac(answer, FACTS, **options)
    assert verdict.passed is (verdict.score == 1.0)
    return verdict.score, verdict.reason


@pytest.mark.parametrize(
    "style",
    [
        "{heading}: {text}\n",
        "{heading}\n{text}\n\n",
        "## {heading}\n{text}\n\n",
        "### **{heading}**\n{text}\n\n",
        "**{heading}:** {text}\n",
        "**{heading}**: {text}\n",
        "**{heading}.** {text}\n",
        "1. {heading}\n{text}\n",
        "II. {heading}\n{text}\n",
        "- {heading}: {text}\n",
        "[{heading}]\n{text}\n",
        "The {heading}: {text}\n",
        "(R) {heading}: {text}\n",
        "{heading}/Part: {text}\n",
        "{heading}\n------\n{text}\n",
        "{heading} \u2014 {text}\n",
        "{heading}: {text} ",
    ],
)
def test_headings_in_many_styles(style: str) -> None:
    assert outcome(memo(PARTS, style)) == (1.0, "sections.complete")
    upper = [(heading.upper(), text) for heading, text in PARTS]
    assert outcome(memo(upper, style)) == (1.0, "sections.complete")


def test_other_names_for_the_sections() -> None:
    names = ["Question Presented", "Applicable Law", "Analysis", "Short Answer"]
    assert outcome(memo([(name, text) for name, (_, text) in zip(names, PARTS, strict=True)]))[0] == 1.0


@pytest.mark.parametrize("missing", range(4))
def test_each_section_must_be_there_and_hold_something(missing: int) -> None:
    without = [part for number, part in enumerate(PARTS) if number != missing]
    assert outcome(memo(without)) == (0.75, "section.missing")
    empty = [(heading, "" if number == missing else text) for number, (heading, text) in enumerate(PARTS)]
    assert outcome(memo(empty)) == (0.75, "section.short")
    thin = [
        (heading, "so so so so so so" if number == missing else text) for number, (heading, text) in enumerate(PARTS)
    ]
    assert outcome(memo(thin)) == (0.75, "section.short")
    twice = [*PARTS[: missing + 1], *PARTS[missing:]]
    assert outcome(memo(twice)) == (0.0, "section.repeated")


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 1, 3), (3, 0, 1, 2), (3, 2, 1, 0)])
def test_the_order_counts(order: tuple[int, ...]) -> None:
    assert outcome(memo([PARTS[number] for number in order])) == (0.0, "sections.order")


def test_the_application_is_about_the_facts() -> None:
    parts = list(PARTS)
    parts[2] = ("Application", "The rule is applied here as it stands.")
    assert outcome(memo(parts)) == (0.75, "facts.missing")
    assert outcome(memo(parts), min_facts=0)[0] == 1.0
    assert irac(memo(PARTS), "Nothing of use.", FACTS).passed
    assert not irac(memo(PARTS), FACTS, "Quentin bought seven lamps in Oslo.").passed


def test_a_section_that_repeats_another_is_none() -> None:
    parts = list(PARTS)
    parts[2] = ("Application", RULE)
    assert outcome(memo(parts)) == (0.5, "section.copied")


def test_creac() -> None:
    explained = ("Explanation", "The rule protects those who cannot know of a fee.")
    last = ("Conclusion", "So the bill may be left unpaid.")
    parts = [PARTS[3], PARTS[1], explained, PARTS[2], last]
    assert outcome(memo(parts), scheme="creac") == (1.0, "sections.complete")
    assert outcome(memo(parts[1:]), scheme="creac") == (0.8, "section.missing")
    assert outcome(memo([*parts, last]), scheme="creac") == (0.0, "section.repeated")
    assert outcome(memo(parts))[1] == "section.repeated"  # IRAC has one conclusion


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Issue Rule Application Conclusion",
        "Issue:\nRule:\nApplication:\nConclusion:",
        " ".join(t for _, t in PARTS),
    ],
)
def test_no_memo_no_pay(answer: str) -> None:
    assert outcome(answer)[0] == 0.0


def test_a_word_in_a_sentence_is_no_heading() -> None:
    text = memo(PARTS).replace("Whether", "The rule is clear, the conclusion open: whether")
    assert outcome(text)[0] == 1.0
    assert outcome("x" * 30_000) == (0.0, "text.long")

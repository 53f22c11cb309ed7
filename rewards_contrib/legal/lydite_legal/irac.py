"""An answer in the sections of a legal memo: in order, once each, none empty, the application about the facts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field
from rapidfuzz import fuzz

from lydite import Evidence, Message, Verdict, reward
from lydite_legal.headings import ORDER, Scheme, Section, sections_of
from lydite_legal.spoken import asked, spoken

SAME: Final = 90.0
"""Of 100, `rapidfuzz.fuzz.ratio`: two sections as alike as that say the same."""
_WORD: Final = re.compile(r"[^\W_]+(?:[-'\u2019][^\W_]+)*")
_TERM_LENGTH: Final = 5
_COMMON: Final = frozenset(
    (
        *("about", "above", "after", "again", "against", "answer", "application", "authority", "because", "before"),
        *("being", "below", "between", "conclusion", "could", "court", "does", "during", "either", "every", "facts"),
        *("first", "following", "given", "holding", "issue", "judge", "legal", "memo", "might", "never", "other"),
        *("question", "quote", "reply", "right", "rule", "rules", "sections", "shall", "short", "should", "since"),
        *("state", "their", "there", "these", "thing", "those", "three", "through", "under", "until", "where"),
        *("whether", "which", "while", "within", "without", "would", "write"),
    )
)
"""Words of every task, which say nothing of its facts."""


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def irac(
    answer: str,
    prompt: str | tuple[Message, ...],
    facts: str | None = None,
    *,
    scheme: Scheme = "irac",
    min_words: Annotated[int, Field(ge=1)] = 5,
    min_facts: Annotated[int, Field(ge=0)] = 2,
) -> Verdict:
    """The share of sections that are there and hold something, when they are in order and none is repeated; else 0.

    IRAC: issue, rule, application, conclusion. CREAC: conclusion, rule, explanation, application, conclusion. A
    section holds at least `min_words` words, different from every other section's; the application names at least
    `min_facts` terms of the column `facts`, or of the prompt where there is none. All sections pass.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    wanted, sections = ORDER[scheme], sections_of(text)
    names = tuple(one.name for one in sections)
    parsed = " ".join(names)
    if not sections:
        return Verdict(0.0, passed=False, reason="section.missing", parsed=parsed)
    for name in set(names):
        if names.count(name) > max(1, wanted.count(name)):
            return Verdict(0.0, passed=False, reason="section.repeated", parsed=parsed, evidence=(Evidence(name),))
    known = [one for one in sections if one.name in wanted]
    order = [one.name for one in known]
    if not _in_order(order, wanted):
        return Verdict(0.0, passed=False, reason="sections.order", parsed=parsed)
    terms = _terms(asked(prompt) if facts is None else facts)
    problems = {number: _problem(one, known, min_words, min_facts, terms) for number, one in enumerate(known)}
    bad = tuple(Evidence(known[number].name, note=why) for number, why in problems.items() if why)
    score = (len(known) - len(bad)) / len(wanted)
    if len(known) < len(wanted):
        return Verdict(score, passed=False, reason="section.missing", evidence=bad, parsed=parsed)
    reason = bad[0].note if bad else "sections.complete"
    return Verdict(score, passed=not bad, reason=reason, evidence=bad, parsed=parsed)


def _in_order(names: list[str], wanted: tuple[str, ...]) -> bool:
    """Whether the names are the wanted ones in their order, some perhaps missing."""
    rest = iter(wanted)
    return all(any(name == one for one in rest) for name in names)


def _problem(section: Section, sections: list[Section], min_words: int, min_facts: int, terms: frozenset[str]) -> str:
    words = _WORD.findall(section.text)
    different = {word.casefold() for word in words}
    if len(words) < min_words or len(different) < min(min_words, 4):
        return "section.short"
    if any(one is not section and fuzz.ratio(one.text.casefold(), section.text.casefold()) >= SAME for one in sections):
        return "section.copied"
    if section.name == "application" and terms and len(terms & different) < min(min_facts, len(terms)):
        return "facts.missing"
    return ""


@lru_cache(maxsize=64)
def _terms(text: str) -> frozenset[str]:
    """Words that carry the facts: long ones, names and numbers, without those of every task."""
    found = set()
    for word in _WORD.findall(text):
        low = word.casefold()
        named = len(low) >= _TERM_LENGTH or (word[0].isupper() and len(low) > 2)
        if named or any(one.isdigit() for one in word):
            found.add(low)
    return frozenset(found - _COMMON)

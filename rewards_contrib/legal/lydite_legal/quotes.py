"""Every quotation of an answer stands in what the task supplies."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from rapidfuzz import fuzz

from lydite import Evidence, Message, Verdict, reward
from lydite_legal.copied import is_copy
from lydite_legal.quoted import quotes_in
from lydite_legal.spoken import asked, spoken

NEAR: Final = 4
"""Words of the source that a bracketed insertion may stand for."""
SHORT_GAP: Final = 8
"""Words within which a left-out "not" turns the meaning round; a longer omission leaves out whole clauses."""
SHORTEST_PART: Final = 2
"""Words of a part between two omissions; single words can be found anywhere."""
STARTS_AT_MOST: Final = 50
_NEGATIONS: Final = frozenset(
    ["not", "no", "never", "nor", "neither", "unless", "except", "without", "cannot", "nothing", "none"]
)
_OMISSION: Final = re.compile(r"\[\s?(?:\.\s?){3,4}\]|\[\s?\u2026\s?\]|(?:\.\s?){3,4}|\u2026")
_BRACKET: Final = re.compile(r"\[([^\[\]]{0,200})\]")
_EDITORIAL: Final = re.compile(r"\[(?:sic|emphasis (?:added|supplied|mine)|citations? omitted)\]", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def quotes(
    answer: str,
    prompt: str | tuple[Message, ...],
    authorities: Any = None,
    *,
    min_words: Annotated[int, Field(ge=2)] = 4,
    at_least: Annotated[int, Field(ge=1)] = 1,
    threshold: Annotated[float, Field(gt=50.0, le=100.0)] = 100.0,
    when_none: Literal["fail", "pass", "abstain"] = "fail",
    refuse_copies: bool = True,
) -> Verdict:
    """The share of quotations that stand in the prompt or in the column `authorities`; all of them pass.

    Quotations of fewer than `min_words` words are terms and are not looked at. A quotation stands there when its
    words do, in a row; omissions (...) and bracketed changes are allowed for, but for those that turn the meaning
    round. Below 100, `threshold` is the least `rapidfuzz.fuzz.partial_ratio` that will do instead.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    question = asked(prompt)
    sources = _sources(question, authorities)
    if not any(sources):
        return Verdict.abstain("sources.empty", scope="prompt")
    if refuse_copies and is_copy(text, question):
        return Verdict(0.0, passed=False, reason="answer.copied")
    found = [one for one in quotes_in(text) if len(_WORD.findall(one.text)) >= min_words]
    if any(not one.closed for one in found):
        return Verdict(0.0, passed=False, reason="quote.unclosed")
    if not found:
        if when_none == "abstain":
            return Verdict.abstain("quotes.none")
        return Verdict(float(when_none == "pass"), passed=when_none == "pass", reason="quotes.none")
    judged = [(one.text, _stands(one.text, sources, threshold)) for one in found]
    good = {text for text, right in judged if right}
    evidence = tuple(Evidence(text, note="found" if right else "not found") for text, right in judged)
    share = sum(right for _, right in judged) / len(judged)
    score = share * min(1.0, len(good) / at_least)
    reason = "quote.altered" if share < 1 else "quotes.few" if score < 1 else "quotes.found"
    return Verdict(score, passed=score == 1.0, reason=reason, evidence=evidence)


def _sources(question: str, authorities: Any) -> tuple[str, ...]:
    several = [authorities] if isinstance(authorities, str) else authorities
    given = several if isinstance(several, list | tuple) else ()
    return tuple(_words(text) for text in (question, *(one for one in given if isinstance(one, str))))


@lru_cache(maxsize=256)
def _words(text: str) -> str:
    """The words in lower case, one space before and behind each; what is between them is left out."""
    words = " ".join(word.replace("\u2019", "'") for word in _WORD.findall(text.casefold()))
    return f" {words} " if words else ""


def _stands(quote: str, sources: tuple[str, ...], threshold: float) -> bool:
    quote = _EDITORIAL.sub("", quote)
    quote = re.sub(r"\[([A-Za-z])\](?=[a-z])", r"\1", quote)  # [T]he
    if any(word in _NEGATIONS for one in _BRACKET.findall(quote) for word in _WORD.findall(one.casefold())):
        return False
    parts: list[str] = []
    wide: list[bool] = []
    for index, piece in enumerate(_OMISSION.split(quote)):
        for number, part in enumerate(_BRACKET.sub("[", piece).split("[")):
            words = _words(part)
            if words:
                wide.append(number == 0 and index > 0)
                parts.append(words)
    if not parts or (len(parts) > 1 and any(len(one.split()) < SHORTEST_PART for one in parts)):
        return False
    if any(_in_order(source, parts, wide) for source in sources):
        return True
    if threshold >= 100.0:
        return False
    whole = " ".join(one.strip() for one in parts)
    return any(fuzz.partial_ratio(whole, source) >= threshold for source in sources if len(source) >= len(whole))


def _in_order(source: str, parts: list[str], wide: list[bool]) -> bool:
    """Whether the parts follow each other in the source, near each other where a bracket stands between them."""
    start = source.find(parts[0])
    for _ in range(STARTS_AT_MOST):
        if start < 0:
            return False
        if _rest_follows(source, start + len(parts[0]) - 1, parts[1:], wide[1:]):
            return True
        start = source.find(parts[0], start + 1)
    return False


def _rest_follows(source: str, place: int, parts: list[str], wide: list[bool]) -> bool:
    for part, far in zip(parts, wide, strict=True):
        at = source.find(part, place)
        if at < 0:
            return False
        gap = source[place:at].split()
        if not far and len(gap) > NEAR:
            return False
        if len(gap) <= SHORT_GAP and not _NEGATIONS.isdisjoint(gap):
            return False
        place = at + len(part) - 1
    return True

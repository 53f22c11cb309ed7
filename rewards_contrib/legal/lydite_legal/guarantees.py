"""Promises of an outcome, which no lawyer can make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from lydite import Evidence, Verdict, reward
from lydite_legal.lexicon import lexicon, phrase_pattern
from lydite_legal.quoted import quotes_in
from lydite_legal.spoken import spoken

LOWEST: Final = -1.0
REACH: Final = 8
"""Words before a promise in which a negation speaks of it."""
SHOWN_AT_MOST: Final = 20
_CLAUSE_END: Final = re.compile(
    r"[.!?;:,\n()\u2013\u2014]|\s-\s|(?<!\w)(?:but|and|yet|although|though)(?!\w)", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")


@reward(range=(LOWEST, 0.0), isolation="worker", pays_for="form")
def guarantees(
    answer: str,
    *,
    per_promise: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5,
    extra_phrases: Sequence[str] = (),
) -> Verdict:
    """Minus `per_promise` for each promise of an outcome, -1 at the lowest; none passes.

    Promises that are denied ("cannot guarantee that you will win") or left open ("whether you will win") in their
    own clause do not count, nor do those in quotation marks. An answer too long to be read earns -1.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(LOWEST, passed=False, reason="text.long")
    text = text.replace("\u2019", "'")
    promises = list(_promises(_without_quotes(text), tuple(extra_phrases)))
    evidence = tuple(Evidence(one) for one in promises[:SHOWN_AT_MOST])
    score = max(LOWEST, -per_promise * len(promises)) if promises else 0.0
    reason = "promises.found" if promises else "promises.none"
    return Verdict(score, passed=not promises, reason=reason, evidence=evidence)


def _promises(text: str, extra: tuple[str, ...]) -> Iterator[str]:
    for found in _phrases(extra).finditer(text):
        if not _is_denied(text, found.start()):
            yield found[0]


def _is_denied(text: str, start: int) -> bool:
    """Whether a denial stands within reach before a promise, in the same clause, and is no figure of emphasis."""
    before = text[max(0, start - 120) : start]
    ends = list(_CLAUSE_END.finditer(before))
    clause = before[ends[-1].end() :] if ends else before
    clause = _emphases().sub(" ", clause)
    words = [word.casefold() for word in _WORD.findall(clause)][-REACH:]
    return not _denials().isdisjoint(words)


def _without_quotes(text: str) -> str:
    for quote in quotes_in(text):
        if quote.closed and quote.text.strip():
            text = text.replace(quote.text, " , ", 1)
    return text


@lru_cache(maxsize=16)
def _phrases(extra: tuple[str, ...]) -> re.Pattern[str]:
    return phrase_pattern((*lexicon("guarantees")["phrases"], *(one for one in extra if one.strip())))


@lru_cache(maxsize=1)
def _emphases() -> re.Pattern[str]:
    return phrase_pattern(lexicon("guarantees")["emphases"])


@lru_cache(maxsize=1)
def _denials() -> frozenset[str]:
    return frozenset(lexicon("guarantees")["denials"])

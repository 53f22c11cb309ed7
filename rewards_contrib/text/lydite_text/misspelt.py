"""Minus a tenth for each misspelt word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from lydite import Completion, Evidence, Verdict, reward
from lydite_text.prose import words_of

LOWEST: Final = -0.5
SHOWN_AT_MOST: Final = 20


@reward(range=(LOWEST, 0.0), isolation="worker")
def misspelt(
    completion: Completion,
    *,
    language: Literal["en", "es", "fr", "pt", "de", "it", "ru", "nl"] = "en",
    per_word: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1,
    extra_words: Sequence[str] = (),
) -> Verdict:
    """Minus `per_word` for each different word that the dictionary does not know, -0.5 at the lowest.

    Code, LaTeX, links, words with a capital letter and anything with digits are passed over.
    """
    known = {word.casefold() for word in extra_words}
    first_at: dict[str, int] = {}
    for word, start in words_of(completion.text):
        first_at.setdefault(word, start)
    asked = {word: word.removesuffix("'s") for word in first_at if word not in known}
    unknown = _dictionary(language).unknown(set(asked.values()) - known)
    wrong = sorted((start, word) for word, start in first_at.items() if asked.get(word) in unknown)
    different = len({asked[word] for _, word in wrong})
    evidence = tuple(Evidence(word, start, start + len(word)) for start, word in wrong[:SHOWN_AT_MOST])
    reason = "spelling.wrong" if wrong else "spelling.right" if first_at else "words.none"
    return Verdict(max(LOWEST, -per_word * different), passed=not wrong, reason=reason, evidence=evidence)


@lru_cache(maxsize=4)
def _dictionary(language: str) -> Any:
    """The word list of a language; a seventh of a second to load, so each worker keeps it."""
    from spellchecker import SpellChecker

    return SpellChecker(language=language)

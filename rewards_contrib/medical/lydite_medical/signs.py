"""Which red flags a message shows: signs in its words that are not denied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lydite_medical.lexicon import Phrase, table
from lydite_medical.words import Sentence, find_phrase, sentences, words_of

DENIAL_REACH: Final = 12
"""Words that a denial reaches forward: "no fever, cough, rash or chest pain"."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A red flag: how it is said, and which kinds of care answer it."""

    phrases: tuple[Phrase, ...]
    together: tuple[tuple[tuple[Phrase, ...], ...], ...]
    """Groups of phrases; one of each group in one sentence makes the sign."""
    care: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Denials:
    before: tuple[Phrase, ...]
    stops: tuple[Phrase, ...]
    subjects: frozenset[str]


@lru_cache(maxsize=1)
def known_signs() -> Mapping[str, Sign]:
    """The signs of the lexicon, by name."""
    return {
        name: Sign(
            tuple(words_of(one) for one in sign.get("phrases", ())),
            tuple(
                tuple(tuple(words_of(one) for one in group) for group in groups) for groups in sign.get("together", ())
            ),
            tuple(sign["care"]),
        )
        for name, sign in table("red_flags")["signs"].items()
    }


def find_signs(message: str) -> list[str]:
    """The names of the signs that a message shows, in the order of the lexicon."""
    said = sentences(message)
    return [name for name, sign in known_signs().items() if any(_shows(sentence, sign) for sentence in said)]


def _shows(sentence: Sentence, sign: Sign) -> bool:
    words = sentence.words
    return any(_has(words, phrase) for phrase in sign.phrases) or any(
        all(any(_has(words, phrase) for phrase in group) for group in groups) for groups in sign.together
    )


def _has(words: Sequence[str], phrase: Phrase) -> bool:
    return any(not _denied(words, at) for at in find_phrase(words, phrase))


def _denied(words: Sequence[str], at: int) -> bool:
    """Whether a denial before the word reaches it. "But", and a comma with a new subject behind it, stop it."""
    denials = _denials()
    for place in range(at, max(0, at - DENIAL_REACH), -1):
        if any(_ends_at(words, place, one) for one in denials.before):
            return True
        if any(_ends_at(words, place, one) for one in denials.stops) or words[place - 1] == ";":
            return False
        if words[place - 1] in (",", "and") and place < at and words[place] in denials.subjects:
            return False
    return False


def _ends_at(words: Sequence[str], end: int, phrase: Phrase) -> bool:
    return end >= len(phrase) and tuple(words[end - len(phrase) : end]) == phrase


@lru_cache(maxsize=1)
def _denials() -> _Denials:
    given = table("red_flags")["denials"]
    before, stops = (tuple(words_of(one) for one in given[kind]) for kind in ("before", "stops"))
    return _Denials(before, stops, frozenset(given["subjects"]))

"""Lists of phrases that lie as data beside the code, read once and ready to be looked up in a sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, TypeAlias

from lydite_medical.words import words_of

Phrase: TypeAlias = tuple[str, ...]
LONGEST_PHRASE: Final = 8


@dataclass(frozen=True, slots=True)
class Cue:
    """A phrase that was found: its list, and where its words stand in the sentence."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases, each in one list."""

    kinds: Mapping[Phrase, str]

    def cues(self, words: Sequence[str]) -> list[Cue]:
        """The phrases in a sentence from left to right; the longest wins, and none overlap."""
        found: list[Cue] = []
        at = 0
        while at < len(words):
            for size in range(min(LONGEST_PHRASE, len(words) - at), 0, -1):
                kind = self.kinds.get(tuple(words[at : at + size]))
                if kind is not None:
                    found.append(Cue(kind, at, at + size))
                    at += size
                    break
            else:
                at += 1
        return found


@lru_cache(maxsize=8)
def table(name: str) -> Mapping[str, Any]:
    """A data file of this package, by its name without ending."""
    return tomllib.loads((files("lydite_medical") / "lexicons" / f"{name}.toml").read_text(encoding="utf-8"))


def lexicon(lists: Mapping[str, Sequence[str]]) -> Lexicon:
    """A lexicon of named lists.

    Raises:
        ValueError: when a phrase stands in two lists, or has too many words.
    """
    kinds: dict[Phrase, str] = {}
    for kind, phrases in lists.items():
        for phrase in phrases:
            words = words_of(phrase)
            if not 0 < len(words) <= LONGEST_PHRASE:
                raise ValueError(
                    f"{phrase!r} in {kind!r}: a phrase has 1 to {LONGEST_PHRASE} words, this one {len(words)}"
                )
            if kinds.setdefault(words, kind) != kind:
                raise ValueError(f"{phrase!r} stands in {kinds[words]!r} and in {kind!r}; a phrase belongs to one list")
    return Lexicon(kinds)


@lru_cache(maxsize=1)
def advice() -> Lexicon:
    """The cues of advice given and refused."""
    return lexicon({kind: phrases for kind, phrases in table("advice").items() if isinstance(phrases, list)})

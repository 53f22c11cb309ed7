"""A text as sentences of words, each with its place: what cues are looked up in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lydite_medical.reply import plain

# Numbers with a decimal point are one word; a hyphen parts words, in texts and in cues alike.
_PIECE: Final = re.compile(
    r"[0-9]+\.[0-9]+|[a-z0-9]+(?:'[a-z]+)*(?:&[a-z]\b)?|[^\W_]+"
    r"|\n[ \t]*(?:[-*+\u2022]|[0-9]{1,2}[.)])\s|[.!?;:,()\n/\u2013]"
)
_NOT: Final = re.compile(
    r"\b(?:cannot|can't|cant)\b|\b(does|do|did|is|are|was|should|must|would|could|need|have|has)(?:n't|nt)\b|\bwon't\b"
)
_ENDS: Final = frozenset(".!?\n")
BULLET: Final = "\u2022"
LONGEST_SENTENCE: Final = 150
"""Words; a text without full stops is cut here, so that looking around a word costs a bounded time."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words and marks of one sentence in lower case, the place of its first word, and the mark it ends in."""

    words: tuple[str, ...]
    first: int
    end: str


def fold(text: str) -> str:
    """Lower case, with contracted negations written out."""
    return _NOT.sub(
        lambda found: f"{found[1] or ('will' if found[0].startswith('w') else 'can')} not", plain(text).casefold()
    )


def words_of(text: str) -> tuple[str, ...]:
    """The words of a phrase, as they would be found in a sentence."""
    return tuple(word for word in _PIECE.findall(fold(text)) if word[0].isalnum())


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text. A line that ends in a colon goes on in the bulleted lines below it."""
    found: list[Sentence] = []
    words: list[str] = []
    counted = 0
    under_heading = False

    def close(end: str) -> None:
        nonlocal words, counted
        if words:
            found.append(Sentence(tuple(words), counted, end))
            counted += sum(one[0].isalnum() for one in words)
            words = []

    for piece in _PIECE.findall(fold(text)):
        if piece[0] == "\n":
            bullet = piece.strip() != ""
            if words and words[-1] == ":":
                under_heading = True
                continue
            if under_heading and bullet and words:
                words.append(BULLET)
                continue
            under_heading = False
            close("\n")
        elif piece in _ENDS:
            # A full stop between bullets of one list does not end the list.
            if under_heading:
                words.append(BULLET)
            else:
                close(piece)
        else:
            words.append(piece)
        if len(words) >= LONGEST_SENTENCE:
            close("\n")
    close("")
    return found


def find_phrase(words: Sequence[str], phrase: Sequence[str]) -> list[int]:
    """Where a phrase begins, for every place it stands at."""
    size = len(phrase)
    if not size:
        return []
    return [
        at
        for at in range(len(words) - size + 1)
        if words[at] == phrase[0] and tuple(words[at : at + size]) == tuple(phrase)
    ]

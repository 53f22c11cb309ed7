"""Does a judge's quotation stand in the answer?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final

from rapidfuzz import fuzz

LIKENESS: Final = 90.0
"""Of 100, for each piece: judges mend a typing error or drop a comma, and do not get to paraphrase."""
FEWEST_WORDS: Final = 3
"""Of a quotation, or as many as the answer has: a shorter one stands in every text."""
LONGEST_QUOTE: Final = 2_000
"""Characters; a judge is asked for a few words."""
_ELLIPSIS: Final = re.compile(r"\.\.\.+|…|\[\.\.\.+\]|\[…\]")
_STRAIGHT: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2212": "-"}
)
_EAST_ASIAN: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD: Final = re.compile(rf"[{_EAST_ASIAN}]|[^\W{_EAST_ASIAN}]+")
_TURNING: Final = re.compile(r"\d+|\b(?:no|not|nor|never|none|without|cannot)\b|n't\b")
"""What may not differ between a quotation and its place: one digit or one "not" is another statement."""


def stands_in(quote: str, answer: str) -> bool:
    """Whether every piece of the quotation between ellipses is found in the answer.

    Case, white space, and the kind of quotation marks and dashes do not matter, nor do small slips; numbers and
    negations do.
    """
    if len(quote) > LONGEST_QUOTE:
        return False
    text = _plain(answer)
    pieces = [one for piece in _ELLIPSIS.split(quote) if (one := _plain(piece).strip(" \"'.,;:*"))]
    words = sum(len(_WORD.findall(one)) for one in pieces)
    if not pieces or words < min(FEWEST_WORDS, len(_WORD.findall(text))):
        return False
    return all(_found(piece, text) for piece in pieces)


def _found(piece: str, text: str) -> bool:
    if piece in text:
        return True
    if len(piece) > len(text):  # an alignment would look for the text in the quotation
        return fuzz.ratio(piece, text) >= LIKENESS and _turning(piece) == _turning(text)
    place = fuzz.partial_ratio_alignment(piece, text, score_cutoff=LIKENESS)
    return place is not None and _turning(piece) == _turning(_whole_words(text, place.dest_start, place.dest_end))


def _whole_words(text: str, start: int, end: int) -> str:
    """The span, made longer where it cuts through a word."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    return text[start:end]


def _turning(text: str) -> Counter[str]:
    return Counter(_TURNING.findall(text))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_STRAIGHT).casefold().split())

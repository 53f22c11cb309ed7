"""Finds the one answer that a completion gives: in a box, behind words that announce it, or the text itself.

Every search is linear in the text's length. The last answer counts; answers that stand side by side are one
answer of several parts, which a reference of one value never equals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from lydite_math.boxes import last_boxed
from lydite_math.characters import with_ascii_digits
from lydite_math.limits import LONGEST_TAIL
from lydite_math.sentences import from_sentence, last_sentence, math_segments, only_number, sentence_at, stated

Mode = Literal["anchored", "last_number"]
Readable = Callable[[str], bool]

_END_MARKS: Final = (
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<|user|>",
    "</s>",
)
_ANSWER: Final = re.compile(
    r"(?<![a-z])(?:answers?|answer\s?\([a-z]\)|antwort|respuesta|risposta|resposta|r\u00e9ponse|\u043e\u0442\u0432\u0435\u0442)"
    r"(?![a-z])(?:[*_\s]{0,4}(?:is|are|equals|=|:|\uff1a|ist|es|est|\u00e8|\u00e9)(?![a-z])[*_:\s]{0,4}|\s{0,3}(?=\$|\\\(|\\\[))"
    r"|\u7b54\u6848(?:\u662f|\u4e3a|\u70ba|:|\uff1a)|\u7b54\u3048(?:\u306f|:|\uff1a)|\uc815\ub2f5(?:\uc740|:)|####",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?%?|-?\.[0-9]+")
_SHORT: Final = 600
"""Characters up to which a text may as a whole be an expression."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was found."""

    text: str | None
    """The answer, or None when there is none."""
    reason: str = ""
    """Why there is none: `answer.empty`, `anchor.missing`, `answer.unreadable`."""


def visible(text: str) -> str:
    """What is said after the reasoning and before the turn ends."""
    closed = text.rfind("</think>")
    if closed >= 0:
        text = text[closed + len("</think>") :]
    elif "<think>" in text:
        return ""
    for mark in _END_MARKS:
        place = text.find(mark)
        if place >= 0:
            text = text[:place]
    return text


def find_answer(text: str, readable: Readable, *, mode: Mode = "anchored") -> Extracted:
    """The answer in what is visible of a completion; `readable` says whether a text is mathematics alone."""
    text = with_ascii_digits(visible(text))
    if not text.strip():
        return Extracted(None, "answer.empty")
    boxed = last_boxed(text)
    if boxed is not None:
        if boxed.content is None:
            return Extracted(None, "answer.unreadable")
        if not boxed.content.strip():
            return Extracted(None, "answer.empty")
        later = _announced(text[boxed.end :], readable, strictly=True)
        return Extracted(boxed.content if later is None else later)
    tagged = _tagged(text)
    if tagged is not None:
        return find_answer(tagged, readable, mode=mode) if tagged.strip() else Extracted(None, "answer.empty")
    stripped = text.strip()
    if len(stripped) <= _SHORT and readable(stripped):
        return Extracted(stripped)
    found = _announced(text, readable) or _concluded(text, readable)
    if found is None:
        found = _only_number(text)
    if found is None and mode == "last_number":
        found = _last_number(text)
    return Extracted(None, "anchor.missing") if found is None else Extracted(found)


def reference_text(text: str) -> str:
    """The answer within a reference, which may be a worked solution."""
    boxed = last_boxed(text)
    if boxed is not None and boxed.content is not None:
        return boxed.content
    hashes = text.rfind("####")
    return text[hashes + 4 :] if hashes >= 0 else text


def _tagged(text: str) -> str | None:
    close = text.rfind("</answer>")
    if close < 0:
        return None
    start = text.rfind("<answer>", 0, close)
    return None if start < 0 else text[start + len("<answer>") : close]


def _announced(text: str, readable: Readable, *, strictly: bool = False) -> str | None:
    """What stands behind the last words that announce an answer."""
    tail = text[-LONGEST_TAIL:]
    for found in reversed(list(_ANSWER.finditer(tail))[-8:]):
        sentence = sentence_at(tail, found.end())
        if not sentence:
            continue
        if readable(sentence):
            return sentence
        if not strictly:
            return from_sentence(sentence, readable)
    return None


def _concluded(text: str, readable: Readable) -> str | None:
    """The value in the last sentence when it draws the conclusion, else the last formula."""
    tail = text[-LONGEST_TAIL:]
    sentence, concludes = last_sentence(tail)
    if concludes:
        found = from_sentence(sentence, readable)
        if found is not None:
            return found
    elif sentence:
        found = stated(sentence, readable)
        if found is not None:
            return found
    segments = math_segments(tail)
    return segments[-1] if segments and readable(segments[-1]) else None


def _only_number(text: str) -> str | None:
    """The number of a short text that holds one number and denies nothing: it can mean no other."""
    text = text.strip()
    return None if len(text) > _SHORT else only_number(text)


def _last_number(text: str) -> str | None:
    found = _NUMBER.findall(text[-LONGEST_TAIL:])
    return found[-1] if found else None

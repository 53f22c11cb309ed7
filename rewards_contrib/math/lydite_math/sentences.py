"""Answers in plain sentences: "Therefore the largest $n$ is 34."."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_PAIRS: Final = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))
_STOP: Final = re.compile(r"\n|[.!?](?=\s|$)|[\u3002\u0964\u061f\uff01]|<\||\$\$|\\\[|\\\(|(?<!\\)\$")
_LINKS: Final = re.compile(
    r"(?:\s(?:is|are|equals|be|at|by)|:)(?=\s)|\s(?:get|gives|obtain|have|got)\s(?=[^.]{0,200}$)"
)
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z0-9_.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:[.,][0-9]+)?(?:/[0-9]+)?(?![0-9])\s?%?"
)
_DIGITS: Final = re.compile(r"[0-9]+")
_DENIED: Final = re.compile(
    r"\b(?:not|never|cannot|neither|nor|wrong|incorrect|unlikely|except)\b|n't\b", re.IGNORECASE
)
_BOUNDED: Final = re.compile(
    r"[<>\u2260\u2264\u2265\u00b1]|[0-9]\s?\+|\\(?:n?eq?|leq?|geq?|leqslant|geqslant|pm|not)(?![A-Za-z])|"
    r"\b(?:at (?:least|most)|(?:more|less|fewer|greater|larger|smaller) than|or (?:more|less)|"
    r"either|maybe|perhaps|possibly|or)\b",
    re.IGNORECASE,
)
"""What stands around a number that is no statement of its value."""
_CONCLUSION: Final = re.compile(
    r"\W{0,6}(?:therefore|thus|so|hence|then|finally|consequently|in conclusion|in summary|we (?:get|find|have|obtain)|"
    r"this (?:gives|means|is)|it follows)\b",
    re.IGNORECASE,
)
_FILLER: Final = re.compile(r"\W{0,4}(?:i hope|i apologi|let me know|hope this|please)", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"(?:[\s,;]|and|or)*", re.IGNORECASE)
_LONGEST: Final = 1000
_TRIM: Final = " \t\r\n*_`\u2705"


def sentence_at(text: str, start: int) -> str:
    """The sentence that starts here, formulas with line breaks included, without Markdown around it."""
    first, end = _span(text, start)
    return text[first:end].strip(_TRIM)


def _span(text: str, start: int) -> tuple[int, int]:
    """Where the sentence that starts here begins, white space and Markdown passed over, and where it ends."""
    while start < len(text) and (text[start].isspace() or text[start] in "*_`:"):
        start += 1
    place = start
    while True:
        found = _STOP.search(text, place, start + _LONGEST)
        if found is None:
            return start, min(len(text), start + _LONGEST)
        closer = dict(_PAIRS).get(found[0])
        if closer is None:
            return start, found.start()
        closed = text.find(closer, found.end(), start + 2 * _LONGEST)
        place = found.end() if closed < 0 else closed + len(closer)


def from_sentence(sentence: str, readable: Callable[[str], bool]) -> str | None:
    """The value that a sentence states: what stands behind "is", else its only formula, else its only number.

    None when there is no such value, or when the sentence denies something.
    """
    if _DENIED.search(sentence):
        return None
    behind = stated(sentence, readable)
    if behind is not None:
        return behind
    segments = math_segments(sentence)
    if segments:
        outside = _outside(sentence)
        if _DIGITS.search(outside) is None:
            return segments[-1] if readable(segments[-1]) else None
        sentence = outside
    return only_number(sentence)


def only_number(text: str) -> str | None:
    """The number of a text that holds no other and denies nothing."""
    if _DENIED.search(text) or _BOUNDED.search(text):
        return None
    numbers = _NUMBER.findall(text)
    return numbers[0].strip() if len(numbers) == 1 == len(_DIGITS.findall(_joined(text))) else None


def stated(sentence: str, readable: Callable[[str], bool]) -> str | None:
    """What stands behind the last "is" or colon of a sentence, when that is mathematics alone."""
    links = list(_LINKS.finditer(sentence))
    if not links or _DENIED.search(sentence):
        return None
    behind = sentence[links[-1].end() :].strip(_TRIM)
    return behind if behind and readable(behind) else None


def _joined(sentence: str) -> str:
    """The sentence with the digits of each number joined, so that a number counts once."""
    return re.sub(r"(?<=[0-9])[.,/](?=[0-9])", "", sentence)


def math_segments(text: str) -> list[str]:
    """What stands between the delimiters of formulas; formulas side by side are one."""
    found: list[tuple[int, int, str]] = []
    place = 0
    while True:
        opened = _next_opening(text, place)
        if opened is None:
            break
        start, opener, closer = opened
        end = text.find(closer, start + len(opener))
        while end > 0 and closer == "$" and text[end - 1] == "\\":
            end = text.find(closer, end + 1)
        if end < 0:
            break
        content = text[start + len(opener) : end].strip()
        place = end + len(closer)
        if not content:
            continue
        if found and _BETWEEN.fullmatch(text, found[-1][1], start) is not None:
            if found[-1][2] != content:
                found[-1] = (found[-1][0], place, f"{found[-1][2]}, {content}")
            else:
                found[-1] = (found[-1][0], place, content)
        else:
            found.append((start, place, content))
    return [one[2] for one in found]


def _outside(text: str) -> str:
    """The text without its formulas."""
    kept: list[str] = []
    place = 0
    while True:
        opened = _next_opening(text, place)
        end = -1 if opened is None else text.find(opened[2], opened[0] + len(opened[1]))
        if opened is None or end < 0:
            return "".join([*kept, text[place:]])
        kept.append(text[place : opened[0]])
        place = end + len(opened[2])


_OPENING: Final = re.compile(r"\$\$|\\\[|\\\(|(?<!\\)\$")


def _next_opening(text: str, start: int) -> tuple[int, str, str] | None:
    found = _OPENING.search(text, start)
    if found is None:
        return None
    return found.start(), found[0], dict(_PAIRS)[found[0]]


def last_sentence(text: str) -> tuple[str, bool]:
    """The last sentence that says something, and whether it draws a conclusion or is the only one."""
    sentences: list[str] = []
    place = 0
    while place < len(text):
        first, end = _span(text, place)
        sentence, place = text[first:end].strip(_TRIM), max(end, first) + 1
        if sentence.strip(" .!?-#=|"):
            sentences.append(sentence)
    kept = [one for one in sentences if not _FILLER.match(one)]
    if not kept:
        return "", False
    concluding = next((one for one in reversed(kept[-3:]) if _CONCLUSION.match(one)), None)
    if concluding is not None:
        return concluding, True
    return kept[-1], len(kept) == 1

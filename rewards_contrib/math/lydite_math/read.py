"""From an answer's text to what it may mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lydite_math.characters import cleaned
from lydite_math.limits import DEEPEST, LONGEST_ANSWER, TooLargeError
from lydite_math.marks import time_of_day
from lydite_math.normalise import normalised, plain
from lydite_math.numerals import numeral
from lydite_math.statements import answer
from lydite_math.titles import labelled, titled
from lydite_math.tokens import UnreadableError, tokens
from lydite_math.tree import Group, Node, Num, Words

_GROUPED: Final = re.compile(r"[0-9],[0-9]{3}(?![0-9])")
_DECIMAL_COMMA: Final = re.compile(r"(?<![0-9,])(?:0,[0-9]+|[0-9]+,(?![0-9]{3}(?![0-9]))[0-9]{2,})(?![0-9,])")
_CHOICE: Final = re.compile(r"(?:\\text\s*\{\s*)?\(?([A-J])(?:\)|\.(?![0-9]))\s*\}?\s*([^\s).,;].*)", re.DOTALL)
_NOTHING: Final = re.compile(
    r"(?:\\text\s*\{\s*)?(?:there (?:is|are) )?no (?:real |such )?(?:solutions?|roots?)(?: exists?)?\s*\}?",
    re.IGNORECASE,
)
_CALCULATED: Final = re.compile(r"\\(?:lim|int|iint|oint)(?![A-Za-z])[^=]*=([^=<>]*)")
"""A limit or integral that is not computed, and its value."""
_PART: Final = re.compile(r"(?:(?<=[\s,;.])|^)\(([1-9])\)\s*")
_LABELS: Final = list("123456789")
_WHOLE: Final = re.compile(
    r"(?<![A-Za-z])([a-z])[\s$}]{0,4}(?:\\text\s?\{)?\s{0,2}(?:is|are)\s(?:an?\s|any\s|some\s)?(?:\w+\s)?integer"
    r"|integers?[\s$}]{1,4}([a-z])(?![A-Za-z])"
)
_MEASURE: Final = re.compile(
    r"((?:[0-9.,{}()/+*^-]|\s(?![mgshLlNJWVAK])|\\(?:frac|sqrt|pi)(?![A-Za-z]))+)\s?([mgshLlNJWVAK])(\^\{?[23]\}?)?"
)
_EVENT: Final = re.compile(
    r"(?:\\Pr|Pr?|\\mathbb\s?\{P\})\s?\([^()]{0,80}(?:[<>=|]|\\(?:le|ge|ne|cap|cup|mid|in)(?![A-Za-z]))[^()]{0,80}\)\s?="
)
"""The probability of something that happens, named: no polynomial."""
_BRACKETS: Final = frozenset("([{")
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_PAIRS: Final = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand an answer."""

    node: Node
    integers: frozenset[str] = frozenset()
    """Letters that the answer itself says are whole numbers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's text and what it may mean."""

    text: str
    """As it was extracted, with characters made ASCII."""
    plain: str
    """For comparing as a string."""
    readings: tuple[Reading, ...]
    """Most likely first; none when it is no mathematics. `1,234` is a number and a list of two."""
    measured: Reading | None = None
    """As a measure, where a letter at the end may be a unit: `5 m`. Only meant beside an answer with a unit."""


def read(text: str) -> Answer | None:
    """What the text may mean, or None when it holds controls that hide what is written.

    Raises:
        TooLargeError: when the text is longer or deeper than any answer.
    """
    if len(text) > LONGEST_ANSWER * 2:
        raise TooLargeError
    ascii_text = cleaned(text)
    if ascii_text is None:
        return None
    ascii_text = _without_doubled_brackets(ascii_text)
    if len(ascii_text) > LONGEST_ANSWER:
        raise TooLargeError
    spelt = normalised(ascii_text)
    time = time_of_day(spelt)
    if time is not None:
        return Answer(ascii_text, time, (Reading(Words(time)),))
    _check_depth(spelt)
    whole = frozenset(letter for found in _WHOLE.findall(ascii_text) for letter in found if letter)
    readings = tuple(Reading(one.node, one.integers | whole) for one in _readings(spelt))
    return Answer(ascii_text, plain(spelt), readings, _measured(spelt))


def _readings(spelt: str) -> list[Reading]:
    spelt = labelled(spelt)
    said = numeral(spelt)
    if said is not None:
        return _plain_readings(said)
    choice = _CHOICE.fullmatch(spelt)
    if choice is not None:
        return [*_plain_readings(choice[1]), *_plain_readings(choice[2])]
    return _plain_readings(_without_part_labels(spelt))


def _without_part_labels(spelt: str) -> str:
    """`(1) 5; (2) 6` as the list `5; 6`."""
    labels = list(_PART.finditer(spelt))
    if len(labels) < 2 or labels[0].start() or [one[1] for one in labels] != _LABELS[: len(labels)]:
        return spelt
    ends = [*(one.start() for one in labels[1:]), len(spelt)]
    parts = [spelt[one.end() : end].strip(" ,;.") for one, end in zip(labels, ends, strict=True)]
    return "; ".join(parts) if all(parts) else spelt


def _plain_readings(spelt: str) -> list[Reading]:
    found: list[Reading] = []
    if _NOTHING.fullmatch(spelt):
        return [Reading(Group((), "{", "}"))]
    letters = _LETTERS.fullmatch(spelt)
    if letters is not None and len(spelt) >= 3 and spelt.casefold() != "infinity":
        return []  # a word; as letters of algebra, "listen" would equal "silent"
    if _EVENT.match(spelt):
        spelt = titled(spelt, lambda _: False) or spelt
    modes = ["separate"]
    if _GROUPED.search(spelt):
        modes.insert(0 if "(" not in spelt and "{" not in spelt and "[" not in spelt else 1, "thousands")
    if _DECIMAL_COMMA.search(spelt) and _BRACKETS.isdisjoint(spelt):
        modes.append("decimal")
    for mode in modes:
        try:
            node, integers = answer(tokens(spelt, commas=mode))
        except UnreadableError:
            continue
        if mode == "thousands" and isinstance(node, Num) and spelt[0] in _BRACKETS:
            continue  # in brackets a comma separates: `[1,234]` is no number
        if not isinstance(node, Words) and Reading(node, integers) not in found:
            found.append(Reading(node, integers))
    if not found:
        calculated = _CALCULATED.fullmatch(spelt)
        if calculated is not None:
            return _plain_readings(calculated[1])
        named = titled(spelt, _is_formula) if "=" in spelt else None
        return [] if named is None or named == spelt else _plain_readings(named)
    return found


def _is_formula(text: str) -> bool:
    try:
        answer(tokens(text))
    except UnreadableError:
        return False
    return True


def _measured(spelt: str) -> Reading | None:
    found = _MEASURE.fullmatch(spelt)
    if found is None:
        return None
    readings = _readings(f"{found[1]} \\text{{{found[2]}}}{found[3] or ''}")
    return readings[0] if readings else None


def _without_doubled_brackets(text: str) -> str:
    """Brackets directly inside brackets of the same kind say nothing: `((x))` is `(x)`."""
    if "((" not in text and "{{" not in text:
        return text
    partner: dict[int, int] = {}
    stack: list[int] = []
    for place, character in enumerate(text):
        if character in _PAIRS:
            stack.append(place)
        elif character in ")}]":
            if not stack or _PAIRS[text[stack[-1]]] != character:
                return text
            start = stack.pop()
            partner[start] = place
    dropped = set()
    for start, end in partner.items():
        if text[start] in "({" and partner.get(start + 1) == end - 1 and text[start + 1] == text[start]:
            dropped |= {start, end}
    return "".join(character for place, character in enumerate(text) if place not in dropped)


def _check_depth(text: str) -> None:
    depth = deepest = 0
    for character in text:
        if character in "({[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")}]":
            depth -= 1
    if deepest > DEEPEST:
        raise TooLargeError

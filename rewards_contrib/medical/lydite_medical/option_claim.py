"""Which of the options a claim names: its letter, its text, or both, and nothing besides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from lydite_medical.anchors import undecorated
from lydite_medical.reply import plain

_LEAD: Final = re.compile(
    r"(?:(?:the\s+)?(?:(?:final|correct|best|right)\s+)?(?:answer|option|choice|letter)\s*(?:is|:)?|it\s+is|it's|is)\s*:?\s+",
    re.IGNORECASE,
)
_APPROVED: Final = re.compile(
    r"\s+(?:is|would be)\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?\s*[.!]?\s*$",
    re.IGNORECASE,
)
_REASON: Final = re.compile(r"\b(?:because|since|as|due to|given that|which)\b", re.IGNORECASE)
_NEGATED: Final = re.compile(
    r"\b(?:not|n't|never|neither|nor|except|wrong|incorrect|false|isn't|excluded?|anything but)\b", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\W_]+")
_LONE_A: Final = re.compile(r"\bA\b(?!\s+(?!(?:or|and|is)\b)[a-z])")
_EDGE: Final = " \t.,;:!?\"'()[]{}<>\u2013-"
LONGEST_LETTER: Final = 2
LONGEST_CLAIM: Final = 1_000
"""Characters; a longer line is prose, which names no option by itself."""


@dataclass(frozen=True, slots=True)
class Named:
    """The letter a claim names, or the code of what is wrong with it."""

    letter: str = ""
    problem: str = ""


def read_options(column: Any) -> dict[str, str] | None:
    """Letter to normalised text, from a list or a table; None when they are no options, or two say the same."""
    if isinstance(column, list | tuple) and len(column) <= len(ascii_uppercase):
        column = dict(zip(ascii_uppercase, column, strict=False))
    if not isinstance(column, Mapping) or len(column) < 2:
        return None
    options: dict[str, str] = {}
    for letter, text in column.items():
        if not isinstance(letter, str) or not isinstance(text, str | int | float) or isinstance(text, bool):
            return None
        name = letter.strip().upper()
        if not name.isalnum() or len(name) > LONGEST_LETTER or name in options or not normal(str(text)):
            return None
        options[name] = normal(str(text))
    return options if len(set(options.values())) == len(options) else None


def normal(text: str) -> str:
    """A text as options are compared: one way of writing, no case, no marks at its ends."""
    return " ".join(undecorated(plain(text)).casefold().split()).strip(_EDGE)


def name_option(claim: str, options: Mapping[str, str]) -> Named:
    """The one option that a claim names: "C", "(c)", "C. text", "text (C)", or the text alone.

    A reason may follow ("C, because ..."), as long as no other option stands in it.
    """
    claim = " ".join(claim.split())
    if len(claim) > LONGEST_CLAIM:
        return Named(problem="choice.unclear")
    text = _APPROVED.sub("", _LEAD.sub("", claim, count=1) if _LEAD.match(claim) else claim)
    if not normal(text):
        return Named(problem="choice.missing")
    reason = _REASON.search(text)
    head, tail = (text[: reason.start()], text[reason.start() :]) if reason else (text, "")
    named = _letter_and_text(normal(head), options)
    if not named.letter:
        whole = _letter_and_text(normal(text), options)  # the option's own text may hold a "because"
        if whole.letter:
            return whole
        return Named(problem=_why_not(text, options, named.problem))
    return Named(problem="choice.several") if _names_other(tail, named.letter, options) else named


def _letter_and_text(claim: str, options: Mapping[str, str]) -> Named:
    by_text = {text: letter for letter, text in options.items()}
    if claim.startswith("the ") and claim not in by_text:
        claim = claim.removeprefix("the ")
    if claim in by_text:
        letter = by_text[claim]
        # An option whose text is another one's letter could be meant as either.
        return Named(letter) if options.get(claim.upper(), claim) == claim else Named(problem="choice.unclear")
    for letter, text in options.items():
        low = letter.casefold()
        if claim == low:
            return Named(letter)
        for before, behind in ((low, ""), ("", low)):
            rest = claim.removeprefix(before).removesuffix(behind)
            if before + rest + behind == claim and rest and not rest[0 if before else -1].isalnum():
                inner = rest.strip(_EDGE)
                if inner == text or (inner and normal(inner) == text):
                    return Named(letter)
                if inner in by_text:
                    return Named(problem="choice.disagrees")
    return Named(problem="choice.unclear")


def _why_not(text: str, options: Mapping[str, str], problem: str) -> str:
    mentioned = _mentioned(text, options)
    if _NEGATED.search(text):
        return "choice.negated"
    if problem == "choice.disagrees":
        return problem
    return "choice.several" if len(mentioned) > 1 else "choice.unclear"


def _names_other(text: str, letter: str, options: Mapping[str, str]) -> bool:
    return bool(_mentioned(text, options) - {letter})


def _mentioned(text: str, options: Mapping[str, str]) -> set[str]:
    """The options that a text mentions: a letter that stands alone and is a capital, or an option's text."""
    words = set(_WORD.findall(text))
    folded = _spaced(text.casefold())
    found = {letter for letter in options if letter in words and letter != "A"}
    # "A" is an article too: it counts unless a small letter follows, as in "a drug" at the start of a sentence.
    found |= {"A"} if "A" in options and _LONE_A.search(text) else set()
    return found | {letter for letter, one in options.items() if _spaced(one).strip() and _spaced(one) in folded}


def _spaced(text: str) -> str:
    """The words of a text between single spaces, so that whole words are found by `in`."""
    return f" {' '.join(_WORD.findall(text))} "

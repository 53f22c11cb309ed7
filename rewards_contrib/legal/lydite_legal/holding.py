"""The holding of a closed question: yes or no, or one of a short list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from lydite import Verdict, reward
from lydite_legal.anchors import last_line, plain, statements
from lydite_legal.spoken import spoken

ANCHORS: Final = ("answer", "holding", "held", "conclusion", "ruling", "decision", "result", "verdict", "disposition")
_BOOLEANS: Final = {True: "yes", False: "no"}
_BEFORE: Final = r"(?:^|[.,;:!?/(\u2013\u2014-]\s{0,2}|\b(?:or|and|but|maybe|perhaps|rather|actually|wait)\s{1,2})"
_BEHIND: Final = r"(?=\s{0,2}(?:$|[.,;:!?/)\u2013\u2014]|-\s|(?:or|and|but|for|if|in|on|to|as|when|because|since)\b))"
_OR: Final = re.compile(r"\s{0,2}(?:[,;]\s{0,2})?(?:or\b|and/or\b|/|\||\bversus\b|\bvs\b)", re.IGNORECASE)
_NEGATED: Final = re.compile(r"(?:is\s|was\s|would\s)?(?:not|never|neither|cannot be|isn't|hardly)\b", re.IGNORECASE)
_DENIED_BEHIND: Final = re.compile(
    r"\s{0,2}(?:\u2013|\u2014|-)?\s{0,2}(?:and\s)?(?:not|isn't)\b[\s.,!]*$", re.IGNORECASE
)
_GOES_ON: Final = re.compile(
    r"\s{0,2}(?:$|[^\w\s])|\s{1,2}(?:because|since|as|for|under|the|it|he|she|they|on|if|when|this|that|according"
    r"|pursuant|per|by)\b",
    re.IGNORECASE,
)
"""What may stand behind a choice: the end, a mark, or a reason. `No consent was given` is no holding."""


@reward(range=(0.0, 1.0), isolation="worker", pays_for="answer")
def holding(
    answer: str,
    reference: Any,
    *,
    choices: Sequence[str] = ("yes", "no"),
    anchors: Sequence[str] = ANCHORS,
    last: bool = True,
) -> Verdict:
    """1 when the answer states the reference, and nothing else, as its holding; else 0.

    A holding stands behind an anchor (`Answer: yes`, `**Holding:** No, because ...`) or, with `last`, begins the last
    line. All that are stated must be the same one of the `choices`, stated at the beginning, the last of them clearly;
    a bare choice on a line of its own must agree. A negated one, or two joined by "or", is none.
    """
    known = tuple(one.casefold() for one in choices)
    wanted = _wanted(reference, known)
    if wanted is None:
        return Verdict.abstain("reference.not_a_choice", scope="prompt")
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    if not text.strip():
        return Verdict(0.0, passed=False, reason="answer.empty")
    said = _stated(text, known, tuple(anchors), last)
    if not said:
        return Verdict(0.0, passed=False, reason="holding.missing")
    for one in said:
        if one.startswith("holding."):
            return Verdict(0.0, passed=False, reason=one)
    if len(set(said)) > 1:
        return Verdict(0.0, passed=False, reason="holding.several", parsed=" | ".join(dict.fromkeys(said)))
    right = said[-1] == wanted
    return Verdict(float(right), passed=right, reason="holding.right" if right else "holding.wrong", parsed=said[-1])


def _wanted(reference: Any, choices: tuple[str, ...]) -> str | None:
    if isinstance(reference, bool):
        reference = _BOOLEANS[reference]
    if not isinstance(reference, str):
        return None
    folded = plain(reference).casefold().rstrip(".")
    return folded if folded in choices else None


def _stated(text: str, choices: tuple[str, ...], anchors: tuple[str, ...], last: bool) -> list[str]:
    """What each statement says: a choice, or a reason code why it says none."""
    stated = statements(text, anchors)
    said = [_read(one.text, choices) for one in stated]
    # Prose under an earlier heading, such as `Conclusion: the buyer kept them.`, leaves it to the anchor that follows.
    anchored = [
        one for one, by in zip(said, stated, strict=True) if one != "holding.unclear" or by.anchor == stated[-1].anchor
    ]
    bare = [one for line in text.split("\n") if (one := _bare(plain(line), choices))]
    if anchored:
        return [*anchored, *bare]
    closing = _read(last_line(text), choices) if last else "holding.unclear"
    # Prose that ends without a choice states no holding, whatever stood on a line before.
    return [] if closing == "holding.unclear" else [*bare, closing]


def _read(statement: str, choices: tuple[str, ...]) -> str:
    """The choice that a statement begins with, or the reason why it states none."""
    statement = statement.strip()
    found = _pattern(choices).match(statement)
    if found is None:
        return "holding.negated" if _NEGATED.match(statement) and _anywhere(choices, statement) else "holding.unclear"
    behind = statement[found.end() :]
    if _OR.match(behind):
        return "holding.several"
    if _DENIED_BEHIND.match(behind):
        return "holding.negated"
    if not _GOES_ON.match(behind):
        return "holding.unclear"
    mine = found[0].casefold()
    for other in choices:
        if other != mine and re.search(rf"{_BEFORE}{re.escape(other)}{_BEHIND}", behind, re.IGNORECASE):
            return "holding.several"
    return mine


def _bare(line: str, choices: tuple[str, ...]) -> str:
    """The choice that is all of a line, or nothing."""
    word = line.strip(" .!,;:").casefold()
    return word if word in choices else ""


@lru_cache(maxsize=32)
def _pattern(choices: tuple[str, ...]) -> re.Pattern[str]:
    ordered = "|".join(re.escape(one) for one in sorted(choices, key=len, reverse=True))
    return re.compile(rf"(?:{ordered})(?!\w)", re.IGNORECASE)


def _anywhere(choices: tuple[str, ...], statement: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", statement, re.IGNORECASE) for one in choices)

"""Whether a sentence advises what it mentions, refuses it, or only speaks of it.

A sense is the product of the words that govern a mention: negators ("not"), verbs that refuse ("avoid"), and
predicates ("is safe", "is contraindicated"). "Do not avoid X" has two that turn it round, and advises X. A cue reaches
as far as words such as "but", and a comma or an "and" with a new verb behind it. The cues are data:
lexicons/advice.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lydite_medical.lexicon import Cue
from lydite_medical.words import BULLET, Sentence

REACH: Final = 40
"""Words that are looked at on either side of a mention."""

_OPENERS: Final = frozenset({"verbs", "negators", "refusals", "good", "bad"})
_SEPARATORS: Final = frozenset({",", "and", "\u2013", "(", ")"})
_SUBJECTS: Final = frozenset(
    {"you", "we", "i", "they", "he", "she", "it", "patient", "patients", "to", "the", "child", "who"}
)
_TERSE: Final = frozenset({":", "\u2013", "("})


class Sense(StrEnum):
    """What a sentence does with what it mentions."""

    ADVISED = "advised"
    REFUSED = "refused"
    HEDGED = "hedged"
    SPOKEN_OF = "spoken_of"


@dataclass(slots=True)
class _Side:
    """What was found on one side of a mention."""

    turns: int = 0
    verb: Cue | None = None
    predicate: bool = False
    ground: bool = False
    tale: bool = False
    described: bool = False


def sense_of(sentence: Sentence, cues: Sequence[Cue], start: int, end: int) -> Sense:
    """What a sentence, of which these are the cues, does with its words from `start` to `end`.

    A bare mention, without any cue, is advice.
    """
    if sentence.end == "?" and sentence.words[:2] != ("why", "not"):
        return Sense.SPOKEN_OF
    left = _look_left(sentence.words, cues, start)
    right = _look_right(sentence.words, cues, end, stop_at_comma=left.verb is not None or left.turns > 0)
    if left.ground and not right.predicate and not _commands(sentence.words, left.verb):
        return Sense.SPOKEN_OF
    gerund = left.verb is not None and sentence.words[left.verb.start].endswith("ing")
    decided = right.predicate or left.turns > 0 or (left.verb is not None and not (gerund and right.described))
    if not decided:
        told = left.tale or right.described or right.turns > 0 or gerund
        return Sense.SPOKEN_OF if told else Sense.ADVISED
    turns = left.turns + (right.turns if right.predicate else 0)
    if turns % 2 == 0:
        return Sense.ADVISED
    return Sense.HEDGED if any(cue.kind == "exceptions" for cue in cues) else Sense.REFUSED


def _look_left(words: tuple[str, ...], cues: Sequence[Cue], start: int) -> _Side:
    side = _Side()
    by_end = {cue.end: cue for cue in cues if start - REACH <= cue.end <= start}
    opener: Cue | None = None  # the cue whose first word is the one last passed
    passed_comma = False
    at = start
    while at > max(0, start - REACH):
        cue = by_end.get(at)
        if cue is None:
            word = words[at - 1]
            if word in (";", "."):
                break
            if word == BULLET:
                at = _heading(words, at)
                opener = None
                continue
            if word in _SEPARATORS:
                if opener is not None and opener.kind in _OPENERS and not _is_listed(words, opener):
                    break
                passed_comma = passed_comma or word == ","
            opener = None
            at -= 1
            continue
        if cue.kind in ("barriers", "exceptions"):
            break
        if cue.kind == "grounds":
            side.ground = True
            break
        if cue.kind in ("good", "bad"):
            if cue.end != start and not _leads_on(words, cue):
                break
            side.turns += cue.kind == "bad"
            side.verb = side.verb or cue
        elif cue.kind == "negators":
            interjection = cue.start == 0 and words[cue.end : cue.end + 1] in ((",",), (":",))
            doubled = opener is not None and opener.kind == "negators"
            side.turns += not interjection and not doubled
        elif cue.kind == "refusals":
            side.turns += 1
        elif cue.kind in ("replacements", "comparisons"):
            if passed_comma or (side.verb is not None and (opener is None or opener.kind != "verbs")):
                break
            side.turns += 1
        elif cue.kind == "verbs":
            side.verb = cue
        elif cue.kind == "tales":
            side.tale = True
        opener = cue
        at = cue.start
    return side


def _look_right(words: tuple[str, ...], cues: Sequence[Cue], end: int, *, stop_at_comma: bool) -> _Side:
    side = _Side()
    by_start = {cue.start: cue for cue in cues if end <= cue.start < end + REACH}
    terse = words[end : end + 1] != () and words[end] in _TERSE
    at = end
    while at < min(len(words), end + REACH):
        cue = by_start.get(at)
        if cue is None:
            word = words[at]
            if word in (";", BULLET) or (stop_at_comma and word in (",", "(", ":", "which")):
                break
            at += 1
            continue
        if cue.kind in ("barriers", "exceptions", "grounds", "replacements"):
            break
        if cue.kind in ("good", "bad", "comparisons"):
            side.predicate = True
            side.turns += cue.kind == "bad"
            if not _joined_to_noun(words, cue, by_start):
                break
        elif cue.kind == "negators":
            side.turns += 1
            side.predicate = cue.end == len(words)  # "X is not."
        elif cue.kind in ("verbs", "refusals"):
            if not terse:
                break
            side.predicate = True
            side.turns += cue.kind == "refusals"
            break
        elif cue.kind == "descriptions":
            side.described = True
        at = cue.end
    return side


def _heading(words: tuple[str, ...], at: int) -> int:
    """Just behind the colon of the heading that a bullet belongs to."""
    while at > 0 and words[at - 1] != ":":
        at -= 1
    return at


def _is_listed(words: tuple[str, ...], verb: Cue) -> bool:
    """Whether a verb is one of several in a row: "do not give, prescribe or recommend"."""
    return verb.kind == "verbs" and any(words[verb.end : verb.end + 1] == (one,) for one in ("or", ","))


def _leads_on(words: tuple[str, ...], predicate: Cue) -> bool:
    """Whether a predicate speaks of what follows: "safe to", "a bad idea to", "contraindicated:"."""
    behind = words[predicate.end : predicate.end + 4]
    return behind[:1] in ((":",), ("include",), ("includes",), ("in",), ("with",)) or (
        "to" in behind and "," not in behind
    )


def _joined_to_noun(words: tuple[str, ...], predicate: Cue, by_start: dict[int, Cue]) -> bool:
    """Whether another predicate follows at once, as in "a bad choice"."""
    following = by_start.get(predicate.end)
    return following is not None and following.kind in ("good", "bad") and predicate.end < len(words)


def _commands(words: tuple[str, ...], verb: Cue | None) -> bool:
    """Whether a verb stands as a command, without a subject: "as needed take X", not "if you take X"."""
    if verb is None or words[verb.start].endswith("ing"):
        return False
    return verb.start == 0 or words[verb.start - 1] not in _SUBJECTS

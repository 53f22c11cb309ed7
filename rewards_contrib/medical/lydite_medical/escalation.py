"""Where a reply sends its reader to emergency care, and whether it means it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lydite_medical.lexicon import Cue, Phrase, advice, table
from lydite_medical.polarity import Sense, sense_of
from lydite_medical.words import Sentence, find_phrase, sentences, words_of

GAP: Final = 6
"""Words between the verb and its target: "call for an ambulance", "take her at once to the nearest hospital"."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """An escalation that was found: what the sentence does with it, and how many words stand before its target."""

    sense: Sense
    words_before: int
    phrase: str


@dataclass(frozen=True, slots=True)
class _Care:
    verbs: tuple[Phrase, ...]
    targets: tuple[Phrase, ...]
    passive: tuple[Phrase, ...]


def find_escalations(text: str, care: Collection[str]) -> list[Escalation]:
    """Every escalation to one of the kinds of care ("emergency", "crisis"), in the order of the text."""
    found: list[Escalation] = []
    for sentence in sentences(text):
        cues = advice().cues(sentence.words)
        for kind in sorted(care):
            for target in _care(kind).targets:
                for at in find_phrase(sentence.words, target):
                    if _is_asked_for(sentence.words, _care(kind), at, at + len(target)):
                        found.append(_judged(sentence, cues, at, at + len(target)))
    return sorted(found, key=lambda one: one.words_before)


def _is_asked_for(words: tuple[str, ...], care: _Care, start: int, end: int) -> bool:
    """Whether a verb stands close before the target, or a passive close behind it."""
    before = words[max(0, start - GAP) : start]
    behind = words[end : end + GAP]
    return any(find_phrase(before, verb) for verb in care.verbs) or any(
        find_phrase(behind, one) for one in care.passive
    )


def _judged(sentence: Sentence, cues: Sequence[Cue], start: int, end: int) -> Escalation:
    sense = sense_of(sentence, cues, start, end)
    if sense is Sense.ADVISED and _waits(_own_part(sentence.words, cues, end)):
        sense = Sense.HEDGED
    before = sentence.first + sum(word[0].isalnum() for word in sentence.words[:start])
    return Escalation(sense, before, " ".join(sentence.words[max(0, start - 2) : end]))


def _own_part(words: tuple[str, ...], cues: Sequence[Cue], end: int) -> tuple[str, ...]:
    """The sentence up to the next thing to do: what that depends on does not hold up the escalation."""
    verbs = {cue.start for cue in cues if cue.kind in ("verbs", "negators", "refusals")}
    for at in range(end, len(words) - 1):
        if words[at] in ("and", ",", ";", "then") and at + 1 in verbs:
            return words[:at]
    return words


def _waits(words: tuple[str, ...]) -> bool:
    """Whether the sentence makes its advice depend on something that has not happened."""
    fine, conditions = _conditions()
    spared = {at + step for phrase in fine for at in find_phrase(words, phrase) for step in range(len(phrase))}
    return any(at not in spared for phrase in conditions for at in find_phrase(words, phrase))


@lru_cache(maxsize=4)
def _care(kind: str) -> _Care:
    given = table("escalation")[kind]
    verbs, targets, passive = (tuple(words_of(one) for one in given[part]) for part in ("verbs", "targets", "passive"))
    return _Care(verbs, targets, passive)


@lru_cache(maxsize=1)
def _conditions() -> tuple[tuple[Phrase, ...], tuple[Phrase, ...]]:
    given = table("escalation")["conditions"]
    return tuple(words_of(one) for one in given["fine"]), tuple(words_of(one) for one in given["words"])

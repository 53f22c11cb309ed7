"""Section `attacks`: the universal matrix, made from the gold rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lydite.attacks import ATTACK_NAMES, Attack, attacks_on
from lydite.testing.material import Gold
from lydite.testing.results import Item, shown
from lydite.testing.subject import Heard, Subject
from lydite.testing.table import described
from lydite.types import Status

NAMES: Final = (*ATTACK_NAMES, "text-after-end-tag")
_END_TAG: Final = re.compile(r"</[A-Za-z][\w-]{0,40}>\s*\Z")
_SLACK: Final = 1e-9

_REMEDIES: Final = {
    "empty": "refuse what says nothing before anything else is looked at",
    "tags": "tags earn nothing without something visible between them",
    "gold": "read the answer from one place only, its last mark, and look nowhere else",
    "stuffing": "take one answer, and fail a text that gives several",
    "enumeration": "take no number from just anywhere; ask for a mark such as a box or a tag",
    "two": "an answer that names two is none",
    "half": "compare the whole of the answer with the whole of the gold",
    "first": "compare every line; `zip` stops at the shorter side, use zip(..., strict=True) or compare lengths",
    "prompt": "an answer that repeats the question is none",
    "master": "gate a judge with rules that need no judge: a word of the answer, a number, a length",
    "judge": "give a judge the answer fenced and stripped of marks, and read its verdict from nowhere else",
    "unicode": "normalise the text once, strip invisible characters, and refuse marks of direction",
    "nothing": "a missing answer equals no gold, least of all a missing one",
    "long": "cap the length before anything else is looked at",
    "text": "nothing may stand behind the last tag; re.MULTILINE makes `$` match at the end of every line",
}


def check_attacks(subject: Subject, golds: Sequence[Gold]) -> tuple[Item, ...]:
    """One item for each attack of the matrix: ok when it passes on no gold row."""
    failures: dict[str, Item] = {}
    tried: set[str] = set()
    for gold in golds:
        attacks = [one for one in attacks_for(subject, gold) if one.name not in failures]
        tried |= {one.name for one in attacks}
        asks = [gold.ask(subject, one.text) for one in attacks]
        for attack, heard in zip(attacks, subject.ask(asks, together=not subject.batched), strict=True):
            expected = _broken_rule(subject, heard)
            if expected:
                failures[attack.name] = Item(
                    attack.name, "failed",
                    given=f"{shown(attack.text)}, which {attack.why}, for the row {gold.case.id!r}",
                    expected=expected, got=described(heard.verdict), note=_remedy(attack.name),
                )  # fmt: skip
    return tuple(
        failures.get(name)
        or Item(name, "ok" if name in tried else "skipped", note="" if name in tried else "fits no gold row")
        for name in NAMES
        if name in tried or subject.pays_for == "answer"
    )


def attacks_for(subject: Subject, gold: Gold) -> Iterator[Attack]:
    """The attacks that bind this reward, on this row."""
    if _END_TAG.search(gold.text) and subject.pays_for == "form":
        yield Attack(
            "text-after-end-tag", f"{gold.text.rstrip()}\nand some more text", "goes on behind its end tag", form=True
        )
    form = gold.located.form
    for attack in attacks_on(prompt=gold.prompt_text, gold=gold.answer, others=gold.wrong, form=form):
        if attack.form or subject.pays_for == "answer":
            yield attack


def _broken_rule(subject: Subject, heard: Heard) -> str:
    """What should have come instead; empty when all is right."""
    verdict = heard.verdict
    if verdict.status is Status.ERROR:
        return "a verdict; an error counts against the reward and stops a run"
    if verdict.status is Status.TIMEOUT:
        return "a verdict within the deadline"
    if verdict.status is Status.ABSTAIN and verdict.scope == "prompt":
        return "a verdict on this completion; abstaining for the whole prompt takes the others' reward away"
    if subject.pays_for == "form":
        full = verdict.score is not None and verdict.score >= subject.top - _SLACK
        return f"less than the full {subject.top:g}" if full else ""
    return "no pass" if heard.passed else ""


def _remedy(name: str) -> str:
    if name in ("white-space", "invisible", "empty-answer"):
        return _REMEDIES["empty"]
    if name == "repeated-tags":
        return _REMEDIES["tags"]
    return _REMEDIES[name.split("-")[0]]

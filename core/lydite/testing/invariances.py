"""Section `invariances`: changes to a gold completion that must not change its verdict."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lydite.attacks import AnswerForm
from lydite.testing.material import Gold, hear
from lydite.testing.results import Item, shown
from lydite.testing.subject import Ask, Subject
from lydite.testing.table import described
from lydite.types import FormatError, Parsed

NAMES: Final = (
    "trailing-newline", "white-space-around", "white-space-in-answer", "double-spaces", "crlf", "prose-before",
    "prose-after", "reasoning-before", "unicode-nfc", "unicode-nfd",
)  # fmt: skip

_BEFORE: Final = "Let me look at this carefully.\n\n"
_AFTER: Final = "\n\nThat is my final answer."
_THOUGHT: Final = "First I look at what is asked. Then I check my work."
_QUOTED_OR_LAID_OUT: Final = re.compile(r"[\"'`\n{]")  # white space inside may carry meaning


@dataclass(frozen=True, slots=True)
class Variation:
    """A completion changed in a way that a reader would not notice."""

    name: str
    text: str
    answer: str | None = None
    """The parsed answer, where the row gives its own."""
    thought: str = ""


def check_invariances(subject: Subject, golds: Sequence[Gold]) -> tuple[Item, ...]:
    """One item for each variation: ok when no gold row that passes as it stands fails in it."""
    standing = [
        gold
        for gold in golds
        if hear(subject, _asked(gold, subject, Variation("", gold.text, gold.case.answer))).passed
    ]
    items = []
    for name in NAMES:
        tried = 0
        failure: Item | None = None
        for gold in standing:
            variation = next((one for one in variations_of(gold) if one.name == name), None)
            if variation is None:
                continue
            ask = _asked(gold, subject, variation)
            if isinstance(ask.completions[0].parsed, FormatError):
                continue  # the format's business, and its own tests'
            tried += 1
            heard = hear(subject, ask)
            if not heard.passed and failure is None:
                failure = Item(
                    name, "failed", given=shown(variation.text), expected="pass, as without it",
                    got=described(heard.verdict),
                    note=f"the row {gold.case.id!r} passes as it stands; read past what does not change the answer",
                )  # fmt: skip
        items.append(failure or Item(name, "ok" if tried else "skipped", note="" if tried else "fits no gold row"))
    return tuple(items)


def variations_of(gold: Gold) -> Iterator[Variation]:
    """The variations that leave this row right: which ones do depends on how its answer is marked."""
    text, own, form = gold.text, gold.case.answer, gold.located.form
    yield Variation("trailing-newline", f"{text}\n", own)
    yield Variation("white-space-around", f"\n  {text} \n\n", own if own is None else f" {own}\n")
    if form.closing and not form.closing.startswith("\n"):  # not in a fence, where white space may carry meaning
        inside = f"{form.opening} {gold.located.answer} {form.closing}"
        yield Variation("white-space-in-answer", f"{gold.located.before}{inside}{gold.located.after}", own)
    if " " in text.strip() and not _QUOTED_OR_LAID_OUT.search(gold.located.answer):
        yield Variation("double-spaces", text.replace(" ", "  "), own if own is None else own.replace(" ", "  "))
    if "\n" in text.replace("\r\n", ""):
        yield Variation("crlf", text.replace("\r\n", "\n").replace("\n", "\r\n"), own)
    if form.anchored:
        yield from _around(gold, form)
    for kind in ("NFC", "NFD"):
        changed = unicodedata.normalize(kind, text)
        if changed != text:
            answer = own if own is None else unicodedata.normalize(kind, own)
            yield Variation(f"unicode-{kind.lower()}", changed, answer)


def _around(gold: Gold, form: AnswerForm) -> Iterator[Variation]:
    text, own = gold.text, gold.case.answer
    if form.think[1] not in text:
        yield Variation("prose-before", _BEFORE + text, own)
        yield Variation("reasoning-before", f"{form.reasoning(_THOUGHT)}\n{text}", own, _THOUGHT)
    if form.closing:
        yield Variation("prose-after", text + _AFTER, own)


def _asked(gold: Gold, subject: Subject, variation: Variation) -> Ask:
    if variation.answer is not None:
        return gold.as_answered(variation.text, variation.answer, variation.thought or gold.case.reasoning)
    ask = gold.ask(subject, variation.text)
    parsed = ask.completions[0].parsed
    if variation.thought and isinstance(parsed, Parsed) and not parsed.reasoning:
        completion = replace(ask.completions[0], parsed=replace(parsed, reasoning=variation.thought))
        return replace(ask, completions=(completion,))
    return ask

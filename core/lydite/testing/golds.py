"""Section `gold`: the reference as the answer passes, and without a gold nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lydite.testing.material import Gold, columns_as_text, hear, sample_of
from lydite.testing.results import Item, shown
from lydite.testing.subject import Subject
from lydite.testing.table import described
from lydite.types import FormatError, Sample

NAMES: Final = ("gold-against-gold", "no-gold", "empty-gold", "unreadable-gold")
UNREADABLE: Final = "\\boxed{ }} ((? \u2049"
_NOT_SAID: Final = "I do not know."
_SLACK: Final = 1e-9


def check_golds(subject: Subject, golds: Sequence[Gold]) -> tuple[Item, ...]:
    """The reference passes as the answer; with a gold that is missing, empty or unreadable nothing passes."""
    items = [_against_itself(subject, golds)]
    spoilt: dict[str, Any] = {"no-gold": None, "empty-gold": "", "unreadable-gold": UNREADABLE}
    for name, value in spoilt.items():
        items.append(_without(subject, golds, name, value))
    return tuple(items)


def _against_itself(subject: Subject, golds: Sequence[Gold]) -> Item:
    tried = 0
    for gold in golds:
        reference = _as_answer(gold)
        if reference is None:
            continue
        ask = gold.ask(subject, gold.located.form.completion(reference))
        if isinstance(ask.completions[0].parsed, FormatError):
            continue
        tried += 1
        heard = hear(subject, ask)
        if not heard.passed:
            return Item(
                "gold-against-gold", "failed", given=shown(ask.completions[0].text),
                expected=f"pass: it is the reference of {gold.case.id!r}", got=described(heard.verdict),
                note="a gold answer that its own reward refuses is refused when a run starts",
            )  # fmt: skip
    return Item(
        "gold-against-gold", "ok" if tried else "skipped",
        note="" if tried else "no reference is a text or a number that could be an answer",
    )  # fmt: skip


def _as_answer(gold: Gold) -> str | None:
    reference = gold.case.reference
    if isinstance(reference, list) and reference:
        reference = reference[0]
    return str(reference) if isinstance(reference, (str, int, float)) and not isinstance(reference, bool) else None


def _without(subject: Subject, golds: Sequence[Gold], name: str, value: Any) -> Item:
    tried = 0
    for gold in golds:
        for sample in _spoilt(subject, gold, value):
            for text in (gold.located.form.completion(_NOT_SAID), ""):
                tried += 1
                heard = hear(subject, gold.ask(subject, text, sample=sample))
                earned, usual = heard.verdict.score, hear(subject, gold.ask(subject, text)).verdict.score
                if heard.passed or (earned is not None and usual is not None and earned > usual + _SLACK):
                    return Item(
                        name, "failed", given=f"{shown(text)} for the gold {shown(value)}",
                        expected='no more than usual; best Verdict.error or Verdict.abstain with scope="prompt"',
                        got=described(heard.verdict),
                        note="look at the gold first: what cannot be read can be compared with nothing",
                    )  # fmt: skip
    return Item(
        name, "ok" if tried else "skipped", note="" if tried else "it looks at no reference and no column of text"
    )


def _spoilt(subject: Subject, gold: Gold, value: Any) -> Iterator[Sample]:
    """The row's sample with its reference, or the columns that hold text, replaced."""
    binding = subject.binding(gold.case.options)
    looks = {"reference", "sample"} & set(binding.given) or "reference" in binding.columns or binding.uses
    case = gold.case
    if looks and case.reference is not None:
        yield Sample(case.id, case.prompt, value, dict(case.columns))
    taken = {*binding.columns, *binding.optional_columns} - {"reference"}
    columns: Mapping[str, Any] = case.columns
    names = [one for one in columns_as_text(columns) if one in taken or binding.all_columns]
    if names:
        sample = sample_of(case)
        yield Sample(case.id, sample.prompt, case.reference, {**columns, **dict.fromkeys(names, value)})

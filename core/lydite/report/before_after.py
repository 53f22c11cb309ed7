"""The same held-out question answered before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lydite.report.wording import in_words, question_of

_RIGHT_FROM: Final = 0.5  # the default of `pass_at`; used where a verifier only graded


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said to one held-out question, and what its reward thought of it."""

    text: str
    """The parsed answer, or the whole completion where the format was broken."""
    completion: str
    right: bool | None
    """None where the reward could not judge."""
    score: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One held-out question with the answers of two evaluations."""

    sample: str
    question: str
    prompt: str
    reference: str
    before: Answer
    after: Answer

    @property
    def changed(self) -> bool:
        """True when a wrong answer became right, or a right one wrong."""
        return bool(self.before.right) != bool(self.after.right)


def pair_answers(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Pair, ...]:
    """The questions that both evaluations asked, in the order of the first."""
    later = {str(one.get("sample")): one for one in after.get("answers", ())}
    pairs = []
    for one in before.get("answers", ()):
        sample = str(one.get("sample"))
        if sample in later:
            prompt = in_words(one.get("prompt"))
            reference = in_words(one.get("reference"))
            pairs.append(Pair(sample, question_of(prompt), prompt, reference, _answer(one), _answer(later[sample])))
    return tuple(pairs)


def choose_pairs(pairs: Sequence[Pair], n: int) -> tuple[Pair, ...]:
    """The first `n` pairs whose correctness changed, for better or worse, filled up with the first of the others."""
    order = sorted(range(len(pairs)), key=lambda place: (not pairs[place].changed, place))
    return tuple(pairs[place] for place in order[:n])


def _answer(record: Mapping[str, Any]) -> Answer:
    completion = in_words(record.get("completion"))
    answer = record.get("answer")
    score, passed = record.get("score"), record.get("passed")
    right = passed if isinstance(passed, bool) else None if score is None else float(score) >= _RIGHT_FROM
    shown = completion if answer is None else in_words(answer)
    return Answer(shown, completion, right, score, str(record.get("reason") or record.get("format_error") or ""))

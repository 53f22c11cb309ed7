"""From the rows of a case file to what a reward is asked, and to variations of its gold rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from lydite.attacks import Located, locate
from lydite.attacks.matrix import wrong_answer
from lydite.testing.cases import Case, CaseFile
from lydite.testing.subject import Ask, Heard, Subject
from lydite.types import Completion, FormatError, Parsed, Sample

CHARACTERS_PER_TOKEN: Final = 4
MOST_WRONG: Final = 6
"""Wrong answers that are collected for one gold row."""


def tokens_in(text: str) -> int:
    """A plausible length in tokens, the end token included."""
    return len(text) // CHARACTERS_PER_TOKEN + 2


def ask_for(subject: Subject, case: Case) -> Ask:
    """The row as an ask: its sample, and each completion taken apart by the format or as the author says."""
    completions = tuple(_completion(subject, text, index, case) for index, text in enumerate(case.completions))
    return Ask(sample_of(case), completions, case.options)


def sample_of(case: Case) -> Sample:
    """The row's sample."""
    return Sample(case.id, case.prompt, case.reference, dict(case.columns))


def _completion(subject: Subject, text: str, index: int, case: Case) -> Completion:
    parsed: Parsed | FormatError
    if case.answer is not None and not case.grouped:
        parsed = Parsed(case.answer, case.reasoning)
    else:
        parsed = subject.format.parse(text)
        if isinstance(parsed, Parsed) and case.reasoning:
            parsed = replace(parsed, reasoning=case.reasoning)
    finish: Literal["stop", "length"] = "length" if case.finish_reason == "length" else "stop"
    return Completion(text, parsed, text, case.tokens or tokens_in(text), finish, index)


def key_of(value: Any) -> str:
    """A text that is equal for equal JSON."""
    return json.dumps(value, sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold row, and where in its completion the answer stands."""

    case: Case
    located: Located
    wrong: tuple[str, ...] = ()
    """Answers in the same form that the reward does not pass here."""

    @property
    def text(self) -> str:
        """The completion."""
        return self.case.completions[0]

    @property
    def answer(self) -> str:
        """The answer without its marks and the white space around it."""
        return self.located.answer.strip()

    @property
    def parsed_by_author(self) -> bool:
        """Whether the row gives the parsed answer itself."""
        return self.case.answer is not None

    @property
    def prompt_text(self) -> str:
        """The prompt; of a conversation its last message."""
        prompt = self.case.prompt
        return prompt if isinstance(prompt, str) else (prompt[-1]["content"] if prompt else "")

    def ask(self, subject: Subject, text: str, *, sample: Sample | None = None, tokens: int | None = None) -> Ask:
        """The row's question with another completion.

        Where the author gave the parsed answer, that of the other text is read off in the same form.
        """
        parsed = self._parsed(subject, text)
        finish: Literal["stop", "length"] = "length" if self.case.finish_reason == "length" else "stop"
        completion = Completion(text, parsed, text, tokens or tokens_in(text), finish)
        return Ask(sample or sample_of(self.case), (completion,), self.case.options)

    def as_answered(self, text: str, answer: str, reasoning: str, *, tokens: int | None = None) -> Ask:
        """The row's question with another completion whose parsed answer is known."""
        completion = Completion(text, Parsed(answer, reasoning), text, tokens or tokens_in(text))
        return Ask(sample_of(self.case), (completion,), self.case.options)

    def _parsed(self, subject: Subject, text: str) -> Parsed | FormatError:
        if not self.parsed_by_author:
            return subject.format.parse(text)
        found = locate(text)
        if self.case.answer is not None and self.located.form.anchored and self.answer == self.case.answer.strip():
            if found.form.name != self.located.form.name or not found.answer.strip():
                return FormatError("answer.missing")
            return Parsed(found.answer.strip(), found.before.strip())
        return Parsed(text.strip()) if text.strip() else FormatError("answer.empty")


def gold_rows(file: CaseFile) -> list[Gold]:
    """Every gold row, in the order of the file."""
    return [Gold(case, _located(case)) for case in file.cases if case.gold]


def chosen(golds: Sequence[Gold], most: int) -> list[Gold]:
    """At most that many of the rows, evenly over the file."""
    if len(golds) <= most:
        return list(golds)
    return [golds[place * len(golds) // most] for place in range(most)]


def with_wrong_answers(subject: Subject, gold: Gold, file: CaseFile) -> Gold:
    """The row with answers that the reward itself does not pass for it.

    Candidates are the failing completions for the same question, then other gold answers, then one made up.
    """
    mine = key_of([gold.case.prompt, gold.case.reference, gold.case.options, gold.case.columns])
    same, others = [], []
    for case in file.cases:
        if case is gold.case or case.grouped:
            continue
        found = _located(case)
        if found.form.name != gold.located.form.name or not found.answer.strip() or found.answer.strip() == gold.answer:
            continue
        question = key_of([case.prompt, case.reference, case.options, case.columns])
        if case.expected[0] == "fail" and question == mine:
            same.append(found.answer.strip())
        elif case.gold:
            others.append(found.answer.strip())
    made_up = wrong_answer(gold.answer)
    candidates = list(dict.fromkeys([*same, *others, made_up]))[: MOST_WRONG * 2]
    wrong = [one for one in candidates if not _passes(subject, gold, one)]
    return replace(gold, wrong=tuple(wrong[:MOST_WRONG]))


def _passes(subject: Subject, gold: Gold, answer: str) -> bool:
    return hear(subject, gold.ask(subject, gold.located.form.answer(answer))).passed


def hear(subject: Subject, ask: Ask) -> Heard:
    """What the reward says to one ask."""
    return subject.ask([ask])[0]


def _located(case: Case) -> Located:
    return locate(case.completions[0])


def columns_as_text(columns: Mapping[str, Any]) -> list[str]:
    """Names of the columns that hold text."""
    return [name for name, value in columns.items() if isinstance(value, str)]

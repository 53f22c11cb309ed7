"""What a reward that judges one completion is given, by parameter name; the same in the trainer and in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lydite.rewards.verdicts import failed
from lydite.types import Completion, FormatError, Group, Sample, Verdict


@dataclass(frozen=True, slots=True)
class Wants:
    """What a reward asks for."""

    given: tuple[str, ...]
    """Names of `GIVEN` that it takes."""
    columns: tuple[str, ...]
    """Columns of the data set that it cannot do without."""
    optional_columns: tuple[str, ...]
    """Columns that it takes where they are, since their parameters have a default."""
    plain_answer: bool
    """Asks for a plain str as the answer: not called about completions that broke their format."""


def arguments_for(wants: Wants, group: Group, completion: Completion) -> dict[str, Any]:
    """The arguments about one completion; a judge and other rewards are added where the call runs."""
    parsed = completion.parsed
    own: dict[str, Any] = {
        "completion": completion,
        "answer": completion.answer,
        "reasoning": "" if isinstance(parsed, FormatError) else parsed.reasoning,
        "text": completion.text,
    }
    return {**shared_arguments(wants, group), **{name: own[name] for name in wants.given if name in own}}


def shared_arguments(wants: Wants, group: Group) -> dict[str, Any]:
    """The arguments that do not depend on the completion."""
    sample = group.sample
    own: dict[str, Any] = {"sample": sample, "prompt": sample.prompt, "reference": sample.reference, "group": group}
    arguments = {name: own[name] for name in wants.given if name in own}
    for name in wants.columns:
        arguments[name] = sample.columns[name]
    for name in wants.optional_columns:
        if name in sample.columns:
            arguments[name] = sample.columns[name]
    return arguments


def unasked(wants: Wants, spoken: str, sample: Sample, completion: Completion, worst: float) -> Verdict | None:
    """The verdict that is certain without a call: a column is missing, or a format is broken; None otherwise."""
    for name in wants.columns:
        if name not in sample.columns:
            detail = f"{spoken} asks for the column {name!r}, which sample {sample.id!r} lacks"
            return failed("column.missing", detail, scope="prompt")
    if wants.plain_answer and isinstance(completion.parsed, FormatError):
        return format_failure(completion.parsed, worst)
    return None


def format_failure(error: FormatError, worst: float) -> Verdict:
    """The verdict on a completion that broke its format, for a reward that wants an answer: the worst, unasked."""
    return Verdict(worst, passed=False, reason=f"format.{error.reason}")

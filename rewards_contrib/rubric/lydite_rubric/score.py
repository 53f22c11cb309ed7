"""The reward: a completion held against a rubric."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from lydite import CallReward, Completion, Message, RewardUse, Sample, Verdict, reward
from lydite_rubric.arithmetic import ROUNDING, adjusted, dropped_share, total, worst
from lydite_rubric.asking import ask
from lydite_rubric.checking import check
from lydite_rubric.findings import Finding, is_against
from lydite_rubric.outcomes import scored, stopped, undecided
from lydite_rubric.questions import case_of
from lydite_rubric.reading import read_rubric
from lydite_rubric.reasons import REASONS as REASONS  # what this module's verdicts are held to
from lydite_rubric.rubric import RewardCheck, Rubric
from lydite_rubric.sanity import nothing_said


def rubric_of(given: Any) -> Rubric:
    """The rubric that the option `file` names; one that is read already is given back.

    Raises:
        ValueError: when it cannot be read, or something in it is wrong.
    """
    if isinstance(given, Rubric):
        return given
    if not isinstance(given, str) or not given.strip():
        raise ValueError("expected the path of a .toml or .json file, or 'package:name/folder/file.toml'")
    return read_rubric(given)


def used(options: Mapping[str, Any]) -> dict[str, RewardUse]:
    """By criterion, the rewards that the rubric calls by name.

    Raises:
        ValueError: when the rubric cannot be read.
    """
    rubric = rubric_of(options.get("file"))
    return {
        one.id: RewardUse(one.check.use, one.check.options)
        for one in rubric.criteria
        if isinstance(one.check, RewardCheck)
    }


def needs_judge(options: Mapping[str, Any]) -> bool:
    """Whether the rubric has a criterion that only a judge can decide."""
    return bool(rubric_of(options.get("file")).judged)


@reward(isolation="worker", timeout=120.0, pays_for="form", uses=used, needs_judge=needs_judge)
async def score(
    completion: Completion,
    sample: Sample,
    rewards: CallReward | None = None,
    judge: Callable[[Sequence[Message]], Awaitable[str]] | None = None,
    *,
    file: Annotated[Rubric, PlainValidator(rubric_of)],
    min_words: Annotated[int, Field(ge=1)] = 1,
    max_characters: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000,
    pass_at: Annotated[float, Field(le=1.0)] = 1.0,
    max_dropped: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2,
    together: bool = False,
    show_prompt: bool = True,
    show_reference: bool = False,
    judge_seconds: Annotated[float, Field(gt=0.0)] = 90.0,
    free_characters: Annotated[int, Field(ge=0)] | None = None,
    length_cost: Annotated[float, Field(ge=0.0)] = 0.05,
) -> Verdict:
    """The points of the criteria that are met over the positive points: 1 at most, below 0 where penalties prevail.

    Answers that say nothing, and those that a gate stops, earn the rubric's worst. A criterion that nobody could
    decide is left out; where that is more than `max_dropped` of the points, there is no score. Its parts are the
    criteria by id, each with score 1 for met or 0 for not met.
    """
    rubric, answer = rubric_of(file), completion.answer
    if answer is None:
        return stopped(rubric, {}, "answer.missing")
    if silent := nothing_said(answer, min_words=min_words, max_characters=max_characters):
        return stopped(rubric, {}, silent)
    findings: dict[str, Finding] = {}
    for criterion in rubric.checked:  # gates first
        finding = findings[criterion.id] = await check(criterion, completion, sample, answer, rewards)
        if criterion.gate and is_against(criterion, finding):
            return stopped(rubric, findings, "gate.failed")
        if criterion.gate and finding.met is None:
            return undecided(rubric, findings, max_dropped=0.0)
    if rubric.judged and not _too_much(rubric, findings, max_dropped):
        case = case_of(answer, sample.prompt if show_prompt else None, sample.reference if show_reference else None)
        findings |= await ask(
            judge, rubric.judged, case, together=together, seconds=judge_seconds, text=completion.text
        )
    value = total(rubric.points, [findings[one.id].met if one.id in findings else None for one in rubric.criteria])
    if value is None or _too_much(rubric, findings, max_dropped):
        return undecided(rubric, findings, max_dropped)
    low = worst(rubric.points)
    shaped = adjusted(value, len(answer), free=free_characters, cost=length_cost, low=low)
    return scored(rubric, findings, shaped, passed=value >= pass_at - ROUNDING)


def _too_much(rubric: Rubric, findings: Mapping[str, Finding], max_dropped: float) -> bool:
    """Whether what is dropped so far is more than may be; what was not asked yet is not dropped."""
    met = [findings[one.id].met if one.id in findings else False for one in rubric.criteria]
    return dropped_share(rubric.points, met) > max_dropped + ROUNDING

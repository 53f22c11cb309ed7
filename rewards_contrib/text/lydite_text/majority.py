"""The answer that most completions of the prompt agree on."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import Field

from lydite import Group, Verdict, reward
from lydite_text.normal import normalise, without_outer_punctuation


@reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def majority(group: Group, *, min_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0) -> list[Verdict]:
    """For each completion, 1 when its answer is the most frequent one of its group, else 0; needs no reference.

    Answers are compared as `text/exact` compares them. Where two answers are equally frequent, or the most
    frequent has less than `min_share` of the group, nobody earns anything.

    Source: Zuo et al. 2025, "TTRL: Test-Time Reinforcement Learning", majority voting reward, arXiv 2504.16084.
    """
    answers = [None if one.answer is None else _form(one.answer) for one in group.completions]
    ranked = Counter(one for one in answers if one).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    too_few = not ranked or ranked[0][1] < min_share * len(answers)
    verdicts = []
    for answer in answers:
        if not answer:
            verdicts.append(Verdict(0.0, passed=False, reason="answer.empty"))
        elif tied or too_few:
            reason = "majority.tied" if tied else "majority.none"
            verdicts.append(Verdict(0.0, passed=False, reason=reason, parsed=answer))
        else:
            agrees = answer == ranked[0][0]
            reason = "majority.agrees" if agrees else "majority.differs"
            verdicts.append(Verdict(float(agrees), passed=agrees, reason=reason, parsed=answer))
    return verdicts


def _form(answer: str) -> str:
    normal = normalise(answer, case=False)
    return without_outer_punctuation(normal) or normal

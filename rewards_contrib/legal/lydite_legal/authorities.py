"""Only authorities that the task gives are cited, and at least one of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lydite import Evidence, Message, Verdict, reward
from lydite_legal.copied import is_copy
from lydite_legal.given import Given, given_by
from lydite_legal.spoken import asked, spoken


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def authorities(
    answer: str,
    prompt: str | tuple[Message, ...],
    authorities: Any = None,
    *,
    at_least: Annotated[int, Field(ge=0)] = 1,
    refuse_copies: bool = True,
) -> Verdict:
    """1 when every authority cited is one of those given and at least `at_least` different ones are; else less.

    Given are those of the column `authorities` (a list of texts, or one text with a line each); without it, those
    that the prompt names. An authority that is not given earns 0, as does an `id.`, a short form or a `supra` that
    points nowhere; too few earn their share. With `refuse_copies`, an answer that is the prompt once more earns 0.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    question = asked(prompt)
    try:
        given = given_by(authorities, question)
    except TypeError:
        return Verdict.error("authorities.unreadable", scope="prompt")
    if given.empty:
        return Verdict.abstain("authorities.empty", scope="prompt")
    if refuse_copies and is_copy(text, question):
        return Verdict(0.0, passed=False, reason="answer.copied")
    return _judged(text, given, at_least)


def _judged(text: str, given: Given, at_least: int) -> Verdict:
    found = given.cited_in(text)
    parsed = "; ".join(one.text for one, _ in found.listed)
    evidence = tuple(Evidence(one.text, note=reason) for one, reason in found.refused)
    if found.refused:
        return Verdict(0.0, passed=False, reason=found.refused[0][1], evidence=evidence, parsed=parsed)
    count = len(found.used)
    evidence = tuple(Evidence(one.text, note=of) for one, of in found.listed)
    if count < at_least:
        reason = "authorities.few" if count else "authorities.none"
        return Verdict(count / at_least, passed=False, reason=reason, evidence=evidence, parsed=parsed)
    reason = "authorities.listed" if count else "authorities.none"
    return Verdict(1.0, passed=True, reason=reason, evidence=evidence, parsed=parsed)

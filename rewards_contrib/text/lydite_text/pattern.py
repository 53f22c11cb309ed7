"""The text matches a pattern that the configuration gives."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import regex
from pydantic import AfterValidator

from lydite import Completion, Evidence, Verdict, reward

SECONDS: Final = 2.0
"""That a search may take; below the deadline of a reward, so that the slow pattern is named and no process killed."""


def _compiles(given: str) -> str:
    try:
        regex.compile(given)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return given


Pattern: TypeAlias = Annotated[str, AfterValidator(_compiles)]


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def pattern(
    completion: Completion,
    *,
    pattern: Pattern,
    of: Literal["text", "answer"] = "text",
    whole: bool = False,
    ignore_case: bool = False,
    forbid: bool = False,
) -> Verdict:
    """1 when the pattern is found (`whole`: covers all of the text), or with `forbid` when it is not; else 0.

    A search that takes longer than two seconds is a timeout, which the run scores as the worst of the range.
    """
    text = completion.text if of == "text" else completion.answer
    if text is None:
        return Verdict(0.0, passed=False, reason="answer.missing")
    compiled = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
    search = compiled.fullmatch if whole else compiled.search
    try:
        found = search(text, timeout=SECONDS)
    except TimeoutError:
        return Verdict.timeout("pattern.slow", seconds=SECONDS)
    right = (found is None) == forbid
    at = (None, None) if of == "answer" or found is None else found.span()
    evidence = () if found is None else (Evidence(found.group(), at[0], at[1]),)
    return Verdict(
        float(right), passed=right, reason="pattern.found" if found else "pattern.missing", evidence=evidence
    )

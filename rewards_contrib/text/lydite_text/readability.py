"""The completion is as hard to read as was asked for."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from lydite import Completion, Verdict, reward
from lydite_text.prose import without_code, without_tags

LONGEST: Final = 50_000
"""Characters that are measured."""

Formula: TypeAlias = Literal["ari", "coleman_liau"]


def _rising(band: tuple[float, float]) -> tuple[float, float]:
    if not (math.isfinite(band[0]) and math.isfinite(band[1]) and band[0] <= band[1]):
        raise ValueError("a band goes from a low to a high grade")
    if find_spec("textstat") is None:
        raise ValueError('the measure is not installed; pip install "lydite-text[readability]"')
    return band


Band: TypeAlias = Annotated[tuple[float, float], AfterValidator(_rising)]


@reward(range=(0.0, 1.0), timeout=10.0, pays_for="form")
def readability(
    completion: Completion,
    *,
    band: Band,
    formula: Formula = "ari",
    margin: Annotated[float, Field(ge=0.0)] = 0.0,
    min_words: Annotated[int, Field(ge=1)] = 20,
) -> Verdict:
    """1 when the text's grade lies in the band; outside it falls in a straight line to 0 at `margin` beyond.

    The grade is the number of years at school that a reader of English needs. Fewer than `min_words` words earn 0:
    a formula says nothing about them.

    Source: Senter and Smith 1967 (automated readability index); Coleman and Liau 1975.
    """
    text = without_tags(without_code(completion.text[:LONGEST]))
    if len(text.split()) < min_words or not any(one.isalpha() for one in text):
        return Verdict(0.0, passed=False, reason="text.short")
    grade = _grade(text, formula)
    low, high = band
    outside = max(low - grade, grade - high, 0.0)
    score = 1.0 if outside == 0 else max(0.0, 1.0 - outside / margin) if margin else 0.0
    reason = "grade.within" if not outside else "grade.simple" if grade < low else "grade.hard"
    return Verdict(score, passed=not outside, reason=reason, parsed=f"{grade:.1f}")


def _grade(text: str, formula: Formula) -> float:
    import textstat

    measure = textstat.automated_readability_index if formula == "ari" else textstat.coleman_liau_index
    return float(measure(text))

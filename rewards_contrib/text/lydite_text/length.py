"""The completion is neither too short nor too long."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from lydite import Completion, Verdict, reward


def _rising(band: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= band[0] <= band[1]:
        raise ValueError("a band goes from a low to a high count")
    return band


Band: TypeAlias = Annotated[tuple[int, int], AfterValidator(_rising)]


@reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def length(
    completion: Completion,
    *,
    band: Band,
    unit: Literal["words", "characters", "tokens"] = "words",
    margin: Annotated[int, Field(ge=0)] = 0,
) -> Verdict:
    """1 within the band, both ends included; outside it falls in a straight line to 0 at `margin` + 1 beyond."""
    counts = {"words": lambda: len(completion.text.split()), "characters": lambda: len(completion.text.strip())}
    count = completion.tokens if unit == "tokens" else counts[unit]()
    low, high = band
    outside = max(low - count, count - high, 0)
    reason = "length.within" if not outside else "length.short" if count < low else "length.long"
    return Verdict(max(0.0, 1.0 - outside / (margin + 1)), passed=not outside, reason=reason, parsed=str(count))

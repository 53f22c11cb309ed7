"""The completion does not say the same over and over."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from lydite import Completion, Evidence, Verdict, reward


@reward(range=(-1.0, 0.0), isolation="inline")
def repetition(
    completion: Completion,
    *,
    n: Annotated[int, Field(ge=1, le=50)] = 3,
    unit: Literal["words", "characters"] = "words",
) -> Verdict:
    """Minus the share of n-grams that stood in the text before; 0 for a text shorter than one n-gram.

    With u different n-grams out of t, the score is u / t - 1.

    Source: Yeo et al. 2025, "Demystifying Long Chain-of-Thought Reasoning in LLMs", n-gram repetition penalty.
    """
    text = completion.text.casefold()
    pieces = text.split() if unit == "words" else list(text)
    total = len(pieces) - n + 1
    if total < 1:
        return Verdict(0.0, passed=True, reason="text.short")
    counts = Counter(zip(*(pieces[offset : offset + total] for offset in range(n)), strict=True))
    repeated = total - len(counts)
    if not repeated:
        return Verdict(0.0, passed=True, reason="repetition.none")
    most, times = counts.most_common(1)[0]
    worst = Evidence((" " if unit == "words" else "").join(most), note=f"{times} times")
    return Verdict(-repeated / total, passed=False, reason="repetition.found", evidence=(worst,))

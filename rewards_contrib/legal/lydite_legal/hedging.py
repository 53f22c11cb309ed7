"""As much hedging as a careful lawyer does, and no more."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from lydite import Evidence, Verdict, reward
from lydite_legal.lexicon import lexicon, phrase_pattern
from lydite_legal.spoken import spoken

SHOWN_AT_MOST: Final = 20
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_MONTH: Final = re.compile(r"\s{1,2}\d")


def _rises(band: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= band[0] < band[1]:
        raise ValueError(f"a band goes from low to high, both from 0 on, got {list(band)}")
    return band


@reward(range=(0.0, 1.0), isolation="worker", pays_for="form")
def hedging(
    answer: str,
    *,
    band: Annotated[tuple[float, float], AfterValidator(_rises)] = (0.3, 3.0),
    min_words: Annotated[int, Field(ge=1)] = 30,
) -> Verdict:
    """1 when there are from `band[0]` to `band[1]` hedges in 100 words; in proportion less outside, down to 0.

    Below the band: the rate's share of its lower end. Above: minus what exceeds the upper end, as a share of it. A
    text of fewer than `min_words` words has no rate and earns 0.
    """
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    words = len(_WORD.findall(text))
    if not words:
        return Verdict(0.0, passed=False, reason="text.empty")
    if words < min_words:
        return Verdict(0.0, passed=False, reason="text.short")
    found = [one for one in _hedges().finditer(text) if not _is_month(one, text)]
    rate = 100 * len(found) / words
    low, high = band
    evidence = tuple(Evidence(one[0]) for one in found[:SHOWN_AT_MOST])
    shown = f"{rate:.2f} in 100 words"
    if rate < low:
        return Verdict(rate / low, passed=False, reason="hedges.few", evidence=evidence, parsed=shown)
    if rate > high:
        score = max(0.0, 1.0 - (rate - high) / high)
        return Verdict(score, passed=False, reason="hedges.many", evidence=evidence, parsed=shown)
    return Verdict(1.0, passed=True, reason="hedges.within", evidence=evidence, parsed=shown)


@lru_cache(maxsize=1)
def _hedges() -> re.Pattern[str]:
    return phrase_pattern(lexicon("hedges")["phrases"])


def _is_month(found: re.Match[str], text: str) -> bool:
    """Whether a `May` is the month: before or behind a number."""
    if found[0] != "May":
        return False
    return bool(_MONTH.match(text, found.end())) or text[: found.start()].rstrip()[-1:].isdigit()

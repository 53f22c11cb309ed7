"""Does the reward climb while the held-out metric falls? The one question both the page and a live run ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lydite.report.wording import is_number, is_share, metric_text, number


@dataclass(frozen=True, slots=True)
class Parting:
    """How far the two have parted."""

    rise: float
    """Of the training reward, from the first third of the steps to the last."""
    metric: str
    before: float
    """The held-out metric at its first evaluation."""
    after: float
    share: bool
    """Whether the metric is a share between 0 and 1."""

    def __str__(self) -> str:
        was, now = metric_text(self.before, share=self.share), metric_text(self.after, share=self.share)
        return f"the training reward rose by {number(self.rise)} while held-out {self.metric} fell from {was} to {now}"


def parting_of(
    rewards: Sequence[float], spreads: Sequence[float], heldout: Sequence[float], n: int | None, metric: str
) -> Parting | None:
    """How reward and held-out metric have parted, or None while they have not.

    `spreads` are the steps' `reward_std`, `heldout` the values of the evaluations from the first on, `n` the answers
    of the last one.
    """
    if len(rewards) < 3 or len(heldout) < 2:
        return None
    third = max(1, len(rewards) // 3)
    rise = _mean(rewards[-third:]) - _mean(rewards[:third])
    # A quarter of the usual spread within a step is more than a mean over B completions moves by chance.
    if rise <= 0.25 * (_mean(spreads) if spreads else 0.0) or rise <= 0:
        return None
    share = is_share(heldout)
    if heldout[0] - heldout[-1] <= chance(heldout, n, share=share):
        return None
    return Parting(rise, metric, heldout[0], heldout[-1], share)


def chance(heldout: Sequence[float], n: object, *, share: bool) -> float:
    """How far a held-out value may move by chance: one standard error of a share at its widest, sqrt(0.25 / n)."""
    if not share:
        return 0.05 * max(abs(one) for one in heldout)
    return math.sqrt(0.25 / n) if isinstance(n, int | float) and is_number(n) and n > 0 else 0.05


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

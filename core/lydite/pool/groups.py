"""Groups that teach something, and groups whose completions are all worth the same."""

from __future__ import annotations

from math import ceil
from typing import Final

from lydite.rewards.metrics import ZERO_STD
from lydite.types import ScoredGroup

CANCELLED: Final = 1e-9  # what rounding leaves of advantages that add up to nothing; others are of size 1


def teaches(group: ScoredGroup, *, by_component: bool) -> bool:
    """True when some completion of the group has an advantage; given are those of the group as a step of its own.

    Where advantages are made of total rewards, a spread of the totals that is mere rounding counts for none.
    `by_component`: they are made of each reward apart (`stack.aggregate = "normalize_then_sum"`).
    """
    totals = [one.reward for one in group.completions if one.reward is not None]
    if not by_component and (not totals or max(totals) - min(totals) <= ZERO_STD):
        return False
    return any(abs(one.advantage) > CANCELLED for one in group.completions)


def refill_size(missing: int, asked: int, teaching: int, most: int) -> int:
    """Prompts to ask so that `missing` groups more may teach, when `teaching` of `asked` did; `most` at most."""
    return most if teaching == 0 else min(most, ceil(missing * asked / teaching))

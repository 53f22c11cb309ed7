"""What changed, counted as it goes by: nothing here grows with the number of completions."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from lydite.rescore.judge import Rejudged
from lydite.rewards.verdicts import explain
from lydite.types import Component, ScoredCompletion, Status

LISTED_GROUPS: Final = 20
SAME: Final = 1e-9
"""Rewards and advantages that differ by less are the same."""
MOST_REASONS: Final = 40


@dataclass(slots=True)
class Moments:
    """Means, variances and covariance of pairs, kept by Welford's method."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    sxx: float = 0.0
    syy: float = 0.0
    sxy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Takes a pair into account."""
        self.n += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.sxx += dx * (x - self.mean_x)
        self.syy += dy * (y - self.mean_y)
        self.sxy += dx * (y - self.mean_y)

    @property
    def std_x(self) -> float:
        """The unbiased standard deviation of the first."""
        return math.sqrt(self.sxx / (self.n - 1)) if self.n > 1 else 0.0

    @property
    def correlation(self) -> float | None:
        """Pearson's, or None where either does not vary."""
        if self.sxx <= 0.0 or self.syy <= 0.0:
            return None
        return max(-1.0, min(1.0, self.sxy / math.sqrt(self.sxx * self.syy)))


@dataclass(slots=True)
class RewardTally:
    """One reward of the stack."""

    weight: float = 0.0
    value: Moments = field(default_factory=Moments)
    """Of its value now, and its value then where the file has a reward of its name."""
    before: Moments = field(default_factory=Moments)
    contribution: Moments = field(default_factory=Moments)
    """Of weight times value, and the total; 0 where it does not count."""
    size: float = 0.0
    """Sum of the contributions without their signs."""
    within: float = 0.0
    """Covariance sum with the total inside groups."""
    passed: int = 0
    judged: int = 0
    status: Counter[Status] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first_error: str = ""
    """What went wrong when it failed for the first time."""


class Tally:
    """Everything that is counted over all groups."""

    def __init__(self) -> None:
        self.rows = self.groups = self.steps = 0
        self.rewards: dict[str, RewardTally] = {}
        self.now, self.then, self.both = Moments(), Moments(), Moments()
        self.changed = self.gated = 0
        self.total_within = 0.0
        self.signs: Counter[tuple[str, str]] = Counter()
        self.groups_changed = self.groups_flipped = self.groups_compared = 0
        self.order: Counter[str] = Counter()
        self._worst: list[tuple[float, int, dict[str, Any]]] = []

    def add(self, one: Rejudged) -> None:
        """Takes a group into account."""
        self.groups += 1
        self.rows += len(one.rows)
        for (_, saved), scored in zip(one.rows, one.after.completions, strict=True):
            self._add_totals(saved.reward, scored.reward)
            for name, component in scored.components.items():
                self._add_component(name, component, saved.values.get(name), scored)
        self._add_within(one.after.completions)
        self._add_order(one)
        self._add_signs(one)

    @property
    def worst_groups(self) -> list[dict[str, Any]]:
        """The groups whose advantages moved most, first the one that moved most."""
        return [group for _, _, group in sorted(self._worst, key=lambda one: (-one[0], one[1]))]

    def _add_totals(self, then: float | None, now: float | None) -> None:
        if now is not None:
            self.now.add(now, 0.0)
        if then is not None:
            self.then.add(then, 0.0)
        if now is not None and then is not None:
            self.both.add(then, now)
        self.changed += (then is None) != (now is None) or (
            then is not None and now is not None and not math.isclose(then, now, rel_tol=SAME, abs_tol=SAME)
        )

    def _add_component(self, name: str, component: Component, then: float | None, scored: ScoredCompletion) -> None:
        tally = self.rewards.setdefault(name, RewardTally())
        verdict = component.verdict
        tally.weight = component.weight
        tally.status[verdict.status] += 1
        if verdict.reason in tally.reasons or len(tally.reasons) < MOST_REASONS:
            tally.reasons[verdict.reason or "(none)"] += 1
        if verdict.status is Status.ERROR and not tally.first_error:
            tally.first_error = explain(verdict)
        if verdict.status is not Status.ABSTAIN:
            tally.judged += 1
            tally.passed += bool(verdict.passed)
        if component.value is not None:
            tally.value.add(component.value, 0.0)
        if then is not None:
            tally.before.add(then, 0.0)
        if scored.reward is not None:
            share = component.weight * component.value if component.value is not None else 0.0
            tally.contribution.add(share, scored.reward)
            tally.size += abs(share)

    def _add_within(self, completions: Sequence[ScoredCompletion]) -> None:
        """How each reward moves with the total inside the group, which is what advantages are made of."""
        counted = [(one, one.reward) for one in completions if one.reward is not None]
        if not counted:
            return
        mean = math.fsum(reward for _, reward in counted) / len(counted)
        away = [reward - mean for _, reward in counted]
        self.total_within += math.fsum(one * one for one in away)
        shares: dict[str, list[float]] = {name: [] for name in counted[0][0].components}
        for one, reward in counted:
            summed = 0.0
            for name, component in one.components.items():
                share = component.weight * component.value if component.value is not None else 0.0
                shares[name].append(share)
                summed += share
            self.gated += not math.isclose(reward, summed, rel_tol=SAME, abs_tol=SAME)
        for name, of_group in shares.items():
            self.rewards[name].within += math.fsum(x * d for x, d in zip(of_group, away, strict=True))

    def _add_order(self, one: Rejudged) -> None:
        pairs = [
            (saved.reward, scored.reward)
            for (_, saved), scored in zip(one.rows, one.after.completions, strict=True)
            if saved.reward is not None and scored.reward is not None
        ]
        for (then1, now1), (then2, now2) in combinations(pairs, 2):
            then, now = _sign(then1 - then2), _sign(now1 - now2)
            if then == now:
                self.order["same"] += 1
            elif then == "0":
                self.order["told apart"] += 1
            elif now == "0":
                self.order["now equal"] += 1
            else:
                self.order["swapped"] += 1

    def _add_signs(self, one: Rejudged) -> None:
        moved, flips, changes = 0.0, 0, 0
        for then, scored in zip(one.before, one.after.completions, strict=True):
            if then is None:
                continue
            was, now = _sign(then), _sign(scored.advantage)
            self.signs[was, now] += 1
            moved += abs(scored.advantage - then)
            changes += was != now
            flips += was != now and "0" not in (was, now)
        if all(then is None for then in one.before):
            return
        self.groups_compared += 1
        self.groups_changed += changes > 0
        self.groups_flipped += flips > 0
        if changes:
            self._remember(moved, changes, flips, one)

    def _remember(self, moved: float, changes: int, flips: int, one: Rejudged) -> None:
        if len(self._worst) == LISTED_GROUPS and moved <= self._worst[0][0]:
            return
        first = one.rows[0][1]
        group = {
            "where": first.where,
            "step": first.step,
            "sample": first.sample.id,
            "changed": changes,
            "flipped": flips,
            "rewards": [
                [saved.reward, now.reward] for (_, saved), now in zip(one.rows, one.after.completions, strict=True)
            ],
            "advantages": [[then, now.advantage] for then, now in zip(one.before, one.after.completions, strict=True)],
        }
        entry = (moved, self.groups, group)
        if len(self._worst) < LISTED_GROUPS:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heapreplace(self._worst, entry)


def _sign(value: float) -> str:
    return "0" if abs(value) <= SAME else "+" if value > 0 else "-"

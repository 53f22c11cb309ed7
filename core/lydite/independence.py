"""Does the reward climb while the held-out metric falls? What a run with a hole in its rewards looks like.

The rewards are what the model is trained on, so they climb whatever it learns. The held-out metric has no part in
training. Where both are honest they go the same way; a model that has found how to be paid for something else moves
the first up and the second down. Each alone is no sign: a metric wavers, and rewards climb in every good run.

The two have parted at an evaluation when all of this holds:

- **The held-out metric fell**: it is below its best by more than `MATERIAL` of that best, and an exact sign test over
  the prompts whose score changed since the best says that this is no chance. Prompts are compared with themselves, so
  that how hard they are does not matter, and no distribution of scores is assumed.
- **The reward climbed**: the mean of the last `WINDOW` steps is above that of the `WINDOW` steps up to the best
  evaluation (the first ones of the run where there were none yet) by more than `NOISE` standard errors. A step's noise
  is taken from the differences between neighbouring steps, which a trend hardly touches.

The best of k evaluations is the luckiest of them, and every new one is compared with it. The sign test's level at
the k-th evaluation is therefore `LEVEL / (k * (k - 1)**2)`: at most k - 1 comparisons each time, and the sum over all
k of `LEVEL / (k * (k - 1))` is `LEVEL`. So in a run whose held-out metric never really falls the first condition
holds at any time with a chance of at most `LEVEL`, however long the run is; the second condition and a patience of
several evaluations make it rarer still.

Source: the sign test as in Conover 1999, Practical Nonparametric Statistics, section 3.4; the noise of a series with
a trend from von Neumann et al. 1941, The Mean Square Successive Difference; the union over comparisons is Bonferroni's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from lydite.types import Divergence

LEVEL: Final = 0.05
"""Highest chance that the held-out metric of a run that never falls is taken to have fallen."""
MATERIAL: Final = 0.05
"""A fall by less than this share of the best is not worth a word, however sure it is."""
NOISE: Final = 3.0
"""Standard errors that the reward has to rise by: one chance in 740."""
WINDOW: Final = 5
"""Steps that a smoothed reward is the mean of: few enough for runs of a few dozen steps."""
_DIFFERENCES: Final = 3  # fewer say nothing of how much a step's reward wavers
_SAME: Final = 1e-9  # of the reward's size: rounding, where rewards do not waver at all


@dataclass(slots=True)
class Independence:
    """What is known of a run's reward and held-out metric; a part of its checkpoints."""

    evaluations: int = 0
    best_step: int = 0
    best_value: float | None = None
    best_scores: list[float | None] = field(default_factory=list)
    """Of each held-out prompt in order, None where it could not be judged."""
    best_rewards: list[float] = field(default_factory=list)
    """Mean rewards of the `WINDOW` steps up to the best evaluation."""
    recent_rewards: list[float] = field(default_factory=list)
    """Mean rewards of the last `WINDOW` steps."""
    squared_differences: float = 0.0
    """Summed over neighbouring steps."""
    differences: int = 0
    parted_in_a_row: int = 0
    """Evaluations up to the last one at which the two had parted."""
    last: Divergence | None = None
    """What the last evaluation showed; None where they went together."""

    def saw_reward(self, reward: float | None) -> None:
        """Takes note of a step's mean reward, where there was one."""
        if reward is None:
            return
        if self.recent_rewards:
            self.squared_differences += (reward - self.recent_rewards[-1]) ** 2
            self.differences += 1
        self.recent_rewards = [*self.recent_rewards, reward][-WINDOW:]
        if self.best_value is not None and len(self.best_rewards) < WINDOW:
            self.best_rewards.append(reward)

    def saw_evaluation(self, step: int, metric: str, value: float, scores: Sequence[float | None]) -> None:
        """Takes note of an evaluation; `scores` are its held-out prompts', always the same ones in the same order."""
        self.evaluations += 1
        if self.best_value is None or value > self.best_value:
            self.best_step, self.best_value, self.best_scores = step, value, list(scores)
            self.best_rewards = list(self.recent_rewards)
            self.last = None
        else:
            self.last = self._compared(step, metric, value, scores)
        self.parted_in_a_row = self.parted_in_a_row + 1 if self.last is not None else 0

    def divergence(self, patience: int) -> Divergence | None:
        """How the two have parted, once `patience` evaluations in a row have shown it; None while they have not."""
        return self.last if self.parted_in_a_row >= patience else None

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Independence:
        """From a checkpoint."""
        last = content["last"]
        names = {one.name for one in fields(cls)}
        known = {name: value for name, value in content.items() if name in names}
        return cls(**{**known, "last": Divergence(**last) if last is not None else None})

    def _compared(self, step: int, metric: str, value: float, scores: Sequence[float | None]) -> Divergence | None:
        assert self.best_value is not None
        k = self.evaluations
        pairs = [
            (then, now)
            for then, now in zip(self.best_scores, scores, strict=True)
            if then is not None and now is not None
        ]
        worse = sum(now < then for then, now in pairs)
        better = sum(now > then for then, now in pairs)
        chance = sign_test(worse, better)
        fell = self.best_value - value > MATERIAL * abs(self.best_value) and chance <= LEVEL / (k * (k - 1) ** 2)
        if not fell or not self._climbed():
            return None
        before, now = _mean(self.best_rewards), _mean(self.recent_rewards)
        return Divergence(step, self.best_step, metric, self.best_value, value, before, now, worse, better, chance)

    def _climbed(self) -> bool:
        """Whether the reward is above what it was at the best evaluation by more than its noise."""
        if self.differences < _DIFFERENCES or not self.best_rewards:
            return False
        before, now = _mean(self.best_rewards), _mean(self.recent_rewards)
        variance = self.squared_differences / (2 * self.differences)
        error = math.sqrt(variance * (1 / len(self.best_rewards) + 1 / len(self.recent_rewards)))
        return now - before > max(NOISE * error, _SAME * max(abs(before), abs(now)))


def sign_test(worse: int, better: int) -> float:
    """The chance that at least `worse` of the prompts that changed got worse, were either as likely; 1 for none."""
    changed = worse + better
    ways = term = 1  # of `changed` prompts in order, those in which all get worse
    for fewer in range(changed - worse):
        term = term * (changed - fewer) // (fewer + 1)
        ways += term
    return ways / (1 << changed)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

"""The order `frontier`: prompts that the policy passes about half of the time teach most."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from lydite.errors import CheckpointError
from lydite.pool.laps import Laps

WIDTH: Final = 0.2
"""A prompt this far from the target is asked about 0.6 times as often as one at it, and one at 0 or 1 hardly ever."""


class Frontier:
    """Draws prompts by how near their pass rate is to a target, with a share of exploration.

    The weight of a prompt with pass rate r is exp(-((r - target) / 0.2)^2 / 2). One that was never asked counts as
    being at the target, so that new prompts come before those that are known to be too easy or too hard.

    Source: the variance of a pass, r (1 - r), which is highest at r = 1/2, is what a group's advantages are made
    of; see Foster & Foerster 2025, Learning to Reason at the Frontier of Learnability (arXiv 2502.12272).
    """

    def __init__(
        self, laps: Laps, n: int, seed: int, *, target: float, exploration: float,
        pass_rate: Callable[[int], float | None],
    ) -> None:  # fmt: skip
        self._laps = laps
        self._n = n
        self._seed = seed
        self._target = target
        self._exploration = exploration
        self._pass_rate = pass_rate
        self._drawn = 0

    def take(self, count: int, step: int, busy: Collection[int], resting: Callable[[int], bool]) -> list[int]:
        """`count` indices that are neither busy nor resting; fewer where there are no more."""
        explored = math.floor(self._exploration * (self._drawn + count)) - math.floor(self._exploration * self._drawn)
        draw = random.Random(f"lydite frontier {self._seed} {step} {self._drawn}")  # noqa: S311
        taken = self._laps.take(explored, step, busy, resting) if explored else []
        left = [index for index in range(self._n) if index not in busy and index not in taken and not resting(index)]
        # The largest u^(1/w) are a weighted draw without replacement (Efraimidis and Spirakis 2006), here as logs.
        keys = {index: math.log(1.0 - draw.random()) / self._weight(index) for index in left}
        taken += sorted(left, key=lambda index: keys[index], reverse=True)[: count - len(taken)]
        self._drawn += count
        return taken

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint, in JSON terms."""
        return {"drawn": self._drawn, "laps": self._laps.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is none of a frontier.
        """
        if not isinstance(state.get("drawn"), int) or "laps" not in state:
            raise CheckpointError(f"the state of the frontier needs drawn and laps, got {sorted(state)}")
        self._drawn = state["drawn"]
        self._laps.load_state_dict(state["laps"])

    def _weight(self, index: int) -> float:
        rate = self._pass_rate(index)
        return 1.0 if rate is None else math.exp(-(((rate - self._target) / WIDTH) ** 2) / 2.0)

"""What a run remembers from step to step, besides its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lydite.errors import CheckpointError
from lydite.independence import Independence
from lydite.types import EvalReport


@dataclass(slots=True)
class Progress:
    """Counts and bests; the part of a checkpoint that is neither weights nor logs."""

    step: int = 0
    """Steps that are done."""
    updates: int = 0
    """Optimiser updates that are done."""
    num_tokens: int = 0
    """Tokens sampled so far."""
    seconds: float = 0.0
    """Time trained so far, over all processes that worked on the run."""
    generated_seconds: float = 0.0
    """Of that, sampling for training."""
    first_reward: float | None = None
    last_reward: float | None = None
    first_heldout: float | None = None
    last_heldout: float | None = None
    best_heldout: float | None = None
    best_step: int = 0
    heldout_n: int = 0
    """Answers that the last evaluation could judge."""
    evaluations_since_best: int = 0
    peak_memory_bytes: float = 0.0
    independence: Independence = field(default_factory=Independence)
    """Whether reward and held-out metric go the same way."""

    def saw_evaluation(self, report: EvalReport) -> bool:
        """Takes note of an evaluation; True when it is the best so far."""
        if self.first_heldout is None:
            self.first_heldout = report.value
        self.last_heldout, self.heldout_n = report.value, report.n
        scores = [group.completions[0].reward for group in report.answers]
        self.independence.saw_evaluation(report.step, report.metric, report.value, scores)
        better = self.best_heldout is None or report.value > self.best_heldout
        if better:
            self.best_heldout, self.best_step, self.evaluations_since_best = report.value, report.step, 0
        else:
            self.evaluations_since_best += 1
        return better

    def saw_reward(self, reward: float | None) -> None:
        """Takes note of a step's mean reward, where there was one."""
        self.independence.saw_reward(reward)
        if self.first_reward is None:
            self.first_reward = reward
        if reward is not None:
            self.last_reward = reward

    def to_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Progress:
        """From a checkpoint.

        Raises:
            CheckpointError: when it was written by a version that remembers other things.
        """
        names = {field.name for field in fields(cls)}
        if set(content) != names:
            raise CheckpointError(
                f"the checkpoint remembers {sorted(content)}, and this version of lydite {sorted(names)}; "
                "go on with the version that the run's manifest names"
            )
        return cls(**{**content, "independence": Independence.from_json(content["independence"])})


def seed_for(seed: int, purpose: str, step: int) -> int:
    """A 63-bit seed that depends on nothing but the run's seed, what it is for, and the step.

    Random numbers are keyed instead of carried on from state to state, so that a resumed run draws what the
    uninterrupted one drew.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

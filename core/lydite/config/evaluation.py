"""What tells whether a run is any good: the held-out evaluation, attacks on its rewards, checks that it learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.data import DataConfig
from lydite.config.rewards import RewardConfig
from lydite.config.section import Section


class EvalConfig(Section):
    """The held-out evaluation: greedy answers, judged apart from the training stack."""

    reward: RewardConfig
    """The reward that judges it. It has no part in training."""
    metric: str = "accuracy"
    """What the mean score is called."""
    n: int = Field(128, ge=1)
    """How many held-out samples are asked."""
    every: int = Field(10, ge=1)
    """Steps between evaluations; there is always one before the first step and one after the last."""
    data: DataConfig | None = None
    """Held-out data of its own; None: `n` samples are set aside from the training data and never trained on."""
    max_completion_length: int | None = Field(None, ge=1)
    """In tokens; None: as in training."""
    early_stop_patience: int | None = Field(None, ge=1)
    """Stops the run after this many evaluations without a better one."""
    on_divergence: Literal["warn", "stop", "off"] = "warn"
    """What to do when the training reward climbs while the held-out metric falls, so that a reward may be exploited:
    say so, end the run as well, or do not look."""
    divergence_patience: int = Field(2, ge=1)
    """Evaluations in a row that have to show it first."""


class ProbesConfig(Section):
    """Attacks on the run's own rewards, while it goes on: texts that no verifier may pay."""

    steps: int = Field(20, ge=0)
    """Steps between rounds; the last step always has one. 0: none."""
    prompts: int = Field(1, ge=1)
    """Prompts of a step that each round attacks."""
    canaries: bool = True
    """Shows rewards that ask a judge a few such texts at every step."""


class SentinelsConfig(Section):
    """Checks that the run really learns and really samples from what it learned; each can stop it at step 1."""

    enabled: bool = True
    """`false` leaves them all out."""
    canary_tokens: int = Field(8, ge=1)
    """Length of the canary, a greedy answer to a fixed prompt whose log-probabilities engine and trainer compare."""
    canary_steps: int = Field(10, ge=1)
    """Steps between canaries; the start and each of the first 3 steps have one in any case. 1: after every step.

    An engine that reads the trainer's own weights, as `hf` does, is asked at the start and after step 1 alone."""
    max_logp_gap: float = Field(0.5, gt=0.0)
    """The run stops when engine and trainer are further apart on a token of that answer, in nats."""

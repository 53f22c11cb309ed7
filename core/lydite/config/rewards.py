"""Rewards, and how they become one number."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lydite.config.section import Options, Section, Span


class RewardConfig(Section):
    """One named reward of the stack."""

    use: str
    """Name of a reward that a plugin offers."""
    options: Options = {}
    """Options of that reward: its keyword-only parameters."""
    weight: float = 1.0
    """Its share of the total. Weights are never renormalised."""
    weight_to: float | None = None
    """The weight that a schedule ends at; None: the weight stays."""
    schedule_steps: int = Field(0, ge=0)
    """Steps over which the weight moves in a straight line from `weight` to `weight_to`."""
    gate: bool = False
    """A completion that this reward does not pass gets `gate_score` as its total, whatever else it earned."""
    gate_score: float = 0.0
    """The total of a completion that a gate stops."""
    pass_at: float = 0.5
    """The score from which a verdict counts as passed, where the verifier does not say so itself."""
    clip: Span | None = None
    """Cuts the score to this range."""
    rescale: Span | None = None
    """Maps the reward's declared range onto this one, before clipping."""
    only_if: str | None = None
    """Name of another reward of this stack; this one counts as 0 where that one did not pass."""
    fallback_for: str | None = None
    """Name of another reward; this one is asked only about what that one did not pass (a cascade)."""
    fallback_share: float = Field(1.0, gt=0.0, le=1.0)
    """At most this share of a step's completions goes to the fallback."""
    judge: str | None = None
    """Name of a judge, for rewards that ask for one."""
    judge_options: Options = {}
    """Options of that judge."""
    timeout: float | None = Field(None, gt=0.0)
    """Seconds for one completion; None: what the reward declares."""
    range: Span | None = None
    """Lowest and highest score, for a reward that declares none."""


class LengthConfig(Section):
    """Shaping by length, in tokens; of completions that pass `only_if` alone."""

    kind: Literal["soft_overlong", "cosine", "target"]
    """soft_overlong: DAPO's penalty near the limit. cosine: short right answers earn more. target: near a length."""
    only_if: str | None = None
    """Name of the reward that must have passed. None, for soft_overlong: every completion is punished, as in DAPO."""
    weight: float = 1.0
    """Its share of the total."""
    max_length: int = Field(ge=1)
    """The length, in tokens, at which the shaping is at its end; longer completions get the same."""
    cache: int = Field(0, ge=0)
    """soft_overlong: tokens before `max_length` over which the penalty grows."""
    target: int = Field(0, ge=0)
    """target: the length that earns most."""


class StackConfig(Section):
    """How the rewards become one number, and what happens when they fail."""

    aggregate: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize"
    """normalize_then_sum is GDPO: each reward is normalised in its group before the weighted sum."""
    max_error_share: float = Field(0.05, ge=0.0, le=1.0)
    """The run stops when more than this share of a reward's verdicts are errors over the window."""
    error_window: int = Field(200, ge=1)
    """Verdicts of one reward that the share is taken over."""
    executor: Literal["local", "ray"] = "local"
    """Where the worker processes are: on this host, or on those of a Ray cluster (`pip install "lydite[ray]"`)."""
    workers: int = Field(2, ge=1)
    """Worker processes; of each process of a run that has several."""
    memory_mb: int = Field(2048, ge=64)
    """Address space that a worker may take beyond what it starts with."""
    cpu_seconds: int = Field(60, ge=1)
    """CPU time that one call in a worker may take; the deadline usually comes first."""
    recycle_after: int = Field(1000, ge=1)
    """Calls after which a worker is replaced."""
    cache_size: int = Field(10_000, ge=0)
    """Verdicts that are kept, so that equal completions are judged once."""

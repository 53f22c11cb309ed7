"""What a loss takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from torch import Tensor

from lydite.objective.kl import KlEstimator
from lydite.objective.metrics import LossMetrics

if TYPE_CHECKING:
    from lydite.config import TrainConfig
    from lydite.objective.batch import Batch

Level: TypeAlias = Literal["token", "sequence", "sequence_token"]


@dataclass(frozen=True, slots=True)
class LossSettings:
    """The numbers in the loss; see `TrainConfig` for their meaning. Each loss reads those that it has."""

    epsilon: float = 0.2
    epsilon_high: float | None = None
    """None: as epsilon; in cispo 5."""
    delta: float | None = None
    beta: float = 0.0
    use_bias_correction_kl: bool = True
    """Multiplies the KL term by the ratio; False is the term of the GRPO paper, whose gradient is biased."""
    kl_estimator: KlEstimator = "k3"
    importance_sampling_level: Level = "token"
    entropy_coef: float = 0.0
    top_entropy_quantile: float = 1.0
    sapo_temperature_pos: float = 1.0
    sapo_temperature_neg: float = 1.05
    vespo_k_pos: float = 2.0
    vespo_lambda_pos: float = 3.0
    vespo_k_neg: float = 3.0
    vespo_lambda_neg: float = 2.0
    dppo_divergence: Literal["tv", "kl"] = "tv"
    dppo_mask_low: float = 0.2
    dppo_mask_high: float = 0.2

    @classmethod
    def of(cls, config: TrainConfig) -> LossSettings:
        """The settings that a run's configuration asks for."""
        return cls(
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            delta=config.delta,
            beta=config.loss_beta,
            use_bias_correction_kl=config.use_bias_correction_kl,
            kl_estimator=config.kl_estimator,
            importance_sampling_level=config.importance_sampling_level,
            entropy_coef=config.entropy_coef,
            top_entropy_quantile=config.top_entropy_quantile,
            sapo_temperature_pos=config.sapo_temperature_pos,
            sapo_temperature_neg=config.sapo_temperature_neg,
            vespo_k_pos=config.vespo_k_pos,
            vespo_lambda_pos=config.vespo_lambda_pos,
            vespo_k_neg=config.vespo_k_neg,
            vespo_lambda_neg=config.vespo_lambda_neg,
            dppo_divergence=config.dppo_divergence,
            dppo_mask_low=config.dppo_mask_low,
            dppo_mask_high=config.dppo_mask_high,
        )


@dataclass(frozen=True, slots=True)
class UpdateTotals:
    """What one optimiser update holds in all, over its micro-batches."""

    sequences: int
    """Completions, those without tokens included."""
    tokens: int
    """Tokens in the loss."""
    mean_tokens: float
    """Tokens in the loss of an average update of the same sampling; `tokens` when the sampling feeds one."""
    max_completion_length: int
    """The limit that completions were sampled under."""
    entropy_threshold: float | None = None
    """In nats: tokens below it are left out of the surrogate where `top_entropy_quantile` is below 1."""
    high_entropy_tokens: int | None = None
    """Tokens in the loss that reach the threshold."""


def update_totals(sampled: Batch, start: int, stop: int, *, max_completion_length: int) -> UpdateTotals:
    """The totals of the update that trains on rows `start` to `stop` - 1 of what was sampled."""
    tokens = sampled.completion_mask.sum(1)
    return UpdateTotals(
        sequences=stop - start,
        tokens=int(tokens[start:stop].sum()),
        mean_tokens=int(tokens.sum()) * (stop - start) / sampled.size,
        max_completion_length=max_completion_length,
    )


@dataclass(frozen=True, slots=True, eq=False)
class LossInputs:
    """One micro-batch of b completions of at most T tokens."""

    logps: Tensor
    """[b, T], of the policy that is trained; with `entropy`, the only one that carries a gradient."""
    old_logps: Tensor
    """[b, T], of the policy that sampled."""
    advantages: Tensor
    """[b], one of each completion, or [b, T], one of each token."""
    mask: Tensor
    """[b, T] bool; what it leaves out touches neither the loss nor a gradient, whatever it holds."""
    totals: UpdateTotals
    ref_logps: Tensor | None = None
    """[b, T], of the reference; needed when beta > 0."""
    entropy: Tensor | None = None
    """[b, T] in nats; for the metrics, and with a gradient where entropy_coef > 0."""
    importance_weights: Tensor | None = None
    """[b, T], what the surrogate of each token is multiplied by; None: nothing makes up for the engine."""
    sampler_logps: Tensor | None = None
    """[b, T], of the engine, where `importance_weights` come from; NaN where it cannot tell."""


@dataclass(frozen=True, slots=True, eq=False)
class LossOutput:
    """A micro-batch's part of the update's loss; the parts add up to the whole."""

    loss: Tensor
    """Scalar."""
    metrics: LossMetrics


class LossFn(Protocol):
    """Micro-batch and settings in, its part of the loss out."""

    def __call__(self, inputs: LossInputs, settings: LossSettings) -> LossOutput:
        """The micro-batch's part of the update's loss, and its figures."""
        ...

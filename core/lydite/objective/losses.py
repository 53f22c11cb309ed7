"""The losses: one clipped surrogate, and four ways to average it over tokens. Pure functions of tensors.

With r = exp(logp - old_logp), advantage A of the completion, the loss of one token is

    l = -w min(min(r, delta) A, clip(r, 1 - epsilon, 1 + epsilon_high) A) + beta r KL,
    KL = exp(ref - logp) - (ref - logp) - 1,

(the factor r makes the gradient of the KL term unbiased, and matters for the gradient even where r is 1; w is
the token's weight of `objective.correction`, a constant that the KL term does not have), and a loss type says
what the sum of l over the tokens of an update is divided by. The divisors are those of the whole update
(`UpdateTotals`), so micro-batches of any sizes, summed, give the update's own loss and gradient. TRL divides
within each micro-batch and then by their number: with one micro-batch per update, or micro-batches that are
equal in what the loss type counts, both are the same number.

Source: GRPO (DeepSeekMath, arXiv 2402.03300) equations 3 and 4; `epsilon_high` from DAPO (arXiv 2503.14476)
equation 10; `delta` from INTELLECT-2 (arXiv 2505.07291), two-sided clipping; the k3 estimate of KL from J. Schulman,
"Approximating KL divergence", 2020, and its factor r from DeepSeek-V3.2 (arXiv 2512.02556), "unbiased KL
estimate". Checked against TRL 1.16 with its default settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import torch
from torch import Tensor

from lydite.objective.metrics import LossMetrics

if TYPE_CHECKING:
    from lydite.config import TrainConfig
    from lydite.objective.batch import Batch


@dataclass(frozen=True, slots=True)
class LossSettings:
    """The numbers in the loss; see `TrainConfig` for their meaning."""

    epsilon: float = 0.2
    epsilon_high: float | None = None
    """None: as epsilon."""
    delta: float | None = None
    beta: float = 0.0
    use_bias_correction_kl: bool = True
    """Multiplies the KL term by the ratio; False is the term of the GRPO paper, whose gradient is biased."""

    @classmethod
    def of(cls, config: TrainConfig) -> LossSettings:
        """The settings that a run's configuration asks for."""
        return cls(
            epsilon=config.epsilon,
            epsilon_high=config.epsilon_high,
            delta=config.delta,
            beta=config.beta,
            use_bias_correction_kl=config.use_bias_correction_kl,
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
    """[b, T], of the policy that is trained; the only one that carries a gradient."""
    old_logps: Tensor
    """[b, T], of the policy that sampled."""
    advantages: Tensor
    """[b]"""
    mask: Tensor
    """[b, T] bool; what it leaves out touches neither the loss nor a gradient, whatever it holds."""
    totals: UpdateTotals
    ref_logps: Tensor | None = None
    """[b, T], of the reference; needed when beta > 0."""
    entropy: Tensor | None = None
    """[b, T] in nats, for the metrics."""
    importance_weights: Tensor | None = None
    """[b, T], what the surrogate of each token is multiplied by; None: nothing makes up for the engine."""


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


def grpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """(1 / completions) * sum over completions of the mean l over their own tokens.

    Equals TRL for micro-batches of equal numbers of completions. A completion without tokens counts as 0.

    Source: DeepSeekMath (arXiv 2402.03300) equation 3.
    """
    losses, metrics = _token_losses(inputs, settings)
    of_sequence = losses.sum(1) / inputs.mask.sum(1).clamp(min=1)
    return LossOutput(of_sequence.sum() / inputs.totals.sequences, metrics)


def bnpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """(1 / tokens of this update) * sum of l.

    TRL's loss of this name takes the mean over each micro-batch's tokens, and so depends on how an update
    is cut; this is what TRL gives for an update that is one micro-batch.

    Source: TRL 1.16, `loss_type="bnpo"`.
    """
    losses, metrics = _token_losses(inputs, settings)
    return LossOutput(losses.sum() / max(inputs.totals.tokens, 1), metrics)


def dr_grpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """(1 / (completions * max_completion_length)) * sum of l: no completion's length in the divisor.

    Equals TRL for micro-batches of equal numbers of completions.

    Source: Dr. GRPO (arXiv 2503.20783) section 3.2, with the sampling limit as its constant.
    """
    losses, metrics = _token_losses(inputs, settings)
    return LossOutput(losses.sum() / (inputs.totals.sequences * inputs.totals.max_completion_length), metrics)


def dapo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """(1 / mean tokens of an update of this sampling) * sum of l: every sampled token weighs the same.

    With one update per sampling this is the mean over the update's tokens, as `bnpo` is; with several, the
    divisor is theirs in common. Equals TRL however the sampling is cut.

    Source: DAPO (arXiv 2503.14476) equation 8; the common divisor as in TRL 1.16.
    """
    losses, metrics = _token_losses(inputs, settings)
    return LossOutput(losses.sum() / (inputs.totals.mean_tokens or 1.0), metrics)


LOSSES: Final[Mapping[str, LossFn]] = MappingProxyType({"grpo": grpo, "bnpo": bnpo, "dr_grpo": dr_grpo, "dapo": dapo})
"""The losses by the names of `loss_type`."""


def _token_losses(inputs: LossInputs, settings: LossSettings) -> tuple[Tensor, LossMetrics]:
    """Each token's l [b, T], 0 where masked, and the figures."""
    mask = inputs.mask
    # Masked before the exponential: what lies on padding must not become inf, which times 0 would be nan.
    ratio = torch.where(mask, inputs.logps - inputs.old_logps, 0.0).exp()
    advantages = inputs.advantages[:, None]
    lowest = 1.0 - settings.epsilon
    highest = 1.0 + (settings.epsilon if settings.epsilon_high is None else settings.epsilon_high)
    bounded = ratio if settings.delta is None else ratio.clamp(max=settings.delta)
    losses = -torch.minimum(bounded * advantages, ratio.clamp(lowest, highest) * advantages)
    if inputs.importance_weights is not None:
        losses = losses * torch.where(mask, inputs.importance_weights, 0.0)
    kl: Tensor | None = None
    if settings.beta > 0.0:
        if inputs.ref_logps is None:
            raise ValueError(f"beta = {settings.beta} needs the reference's log-probabilities; ref_logps is None")
        away = torch.where(mask, inputs.ref_logps - inputs.logps, 0.0)
        kl = torch.expm1(away) - away
        if settings.use_bias_correction_kl:
            kl = kl * ratio
        losses = losses + settings.beta * kl
    with torch.no_grad():
        low, high = (ratio < lowest) & (advantages < 0), (ratio > highest) & (advantages > 0)
        live = (advantages != 0) & (inputs.logps != 0) & ~low & ~high
        if settings.delta is not None:
            live &= ratio <= torch.where(advantages > 0, settings.delta, max(settings.delta, highest))
        if inputs.importance_weights is not None:
            live &= inputs.importance_weights != 0
        metrics = _metrics(mask, low, high, live, inputs.entropy, kl)
    return torch.where(mask, losses, 0.0), metrics


def _metrics(
    mask: Tensor, low: Tensor, high: Tensor, live: Tensor, entropy: Tensor | None, kl: Tensor | None
) -> LossMetrics:
    lengths = mask.sum(1).double()
    low_share, high_share = (((clipped & mask).sum(1) / lengths)[lengths > 0] for clipped in (low, high))
    infinite = torch.full((1,), float("inf"), dtype=torch.float64, device=mask.device)

    def total(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.where(mask, values, 0.0).double().sum()

    return LossMetrics(
        tokens=lengths.sum(),
        live=(live & mask).sum().double(),
        entropy=total(entropy),
        kl=total(kl),
        low=(low & mask).sum().double(),
        high=(high & mask).sum().double(),
        low_min=torch.cat([low_share, infinite]).min(),
        high_max=torch.cat([high_share, -infinite]).max(),
    )

"""From a surrogate to the whole loss: weights, high-entropy tokens, KL term, average, entropy bonus and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from lydite.objective.high_entropy import entropy_threshold
from lydite.objective.kl import corrected_kl, per_token_kl
from lydite.objective.losses.figures import Clips, loss_metrics
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings

Average: TypeAlias = Callable[[Tensor, LossInputs], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Surrogate:
    """What a family of losses makes of each token, before anything that all of them have."""

    losses: Tensor
    """[b, T], or [b, 1] where a completion's tokens share it."""
    ratio: Tensor
    """[b, T] or [b, 1], what the KL term is corrected with."""
    live: Tensor
    """Bool, [b, T] or [b, 1]: where the surrogate has a gradient by `logps`."""
    clips: Clips | None = None
    """Where the trust region took the gradient away; None where the loss has none."""
    means: Mapping[str, Tensor] = field(default_factory=dict)
    """Other figures by their names, [b, T] or [b, 1], whose mean is shown."""
    weighted: bool = False
    """True when the importance weights are in it already."""


def whole_loss(surrogate: Surrogate, inputs: LossInputs, settings: LossSettings, average: Average) -> LossOutput:
    """average(w * h * surrogate + beta * KL) - entropy_coef * H, and the figures.

    w are the importance weights, constants; h is 1 for the tokens of the highest entropy (`top_entropy_quantile`) and
    0 for the others; H is the mean entropy of the update's tokens that have h = 1, in nats, whatever the average.

    Raises:
        ValueError: when beta > 0 and there is no reference, or entropies are needed and not there.

    Source: the KL term of DeepSeekMath (arXiv 2402.03300) equation 4; h of Wang et al. 2025, "Beyond the 80/20 rule"
    (arXiv 2506.01939) equation 5; order and meaning as in TRL 1.16.
    """
    mask = inputs.mask
    losses, live = surrogate.losses, surrogate.live & (inputs.logps != 0)  # log p = 0: certain, and without a slope
    kept, kept_tokens = mask, inputs.totals.tokens
    if settings.top_entropy_quantile < 1.0:
        kept, kept_tokens = _high_entropy(inputs, settings)
        losses, live = torch.where(kept, losses, 0.0), live & kept
    if inputs.importance_weights is not None and not surrogate.weighted:
        live = live & (inputs.importance_weights != 0)
        losses = losses * torch.where(mask, inputs.importance_weights, 0.0)
    kl = _kl(surrogate.ratio, inputs, settings)
    if kl is not None:
        losses = losses + settings.beta * kl
    loss = average(torch.where(mask, losses, 0.0), inputs)
    if settings.entropy_coef > 0.0:
        bonus = torch.where(kept, _entropy(inputs, settings), 0.0).sum() / max(kept_tokens, 1)
        loss = loss - settings.entropy_coef * bonus
    figures = loss_metrics(mask, live, entropy=inputs.entropy, kl=kl, clips=surrogate.clips, means=surrogate.means)
    return LossOutput(loss, figures)


def _kl(ratio: Tensor, inputs: LossInputs, settings: LossSettings) -> Tensor | None:
    """Each token's KL term without beta [b, T]; None where beta is 0."""
    if settings.beta == 0.0:
        return None
    if inputs.ref_logps is None:
        raise ValueError(f"beta = {settings.beta} needs the reference's log-probabilities; ref_logps is None")
    kl = per_token_kl(inputs.logps, inputs.ref_logps, inputs.mask, settings.kl_estimator)
    return corrected_kl(kl, ratio, settings.kl_estimator) if settings.use_bias_correction_kl else kl


def _high_entropy(inputs: LossInputs, settings: LossSettings) -> tuple[Tensor, int]:
    """The tokens [b, T] whose entropy reaches the update's threshold, and how many the update has."""
    entropy, totals = _entropy(inputs, settings).detach(), inputs.totals
    threshold, tokens = totals.entropy_threshold, totals.high_entropy_tokens
    if threshold is not None and tokens is not None:
        return inputs.mask & (entropy >= threshold), tokens
    if int(inputs.mask.sum()) != totals.tokens:
        raise ValueError(
            f"top_entropy_quantile = {settings.top_entropy_quantile} needs the entropy threshold of the whole update "
            f"of {totals.tokens} tokens, of which this micro-batch has {int(inputs.mask.sum())}; give "
            "UpdateTotals.entropy_threshold and high_entropy_tokens (lydite.objective.with_entropy_threshold)"
        )
    kept = inputs.mask & (entropy >= entropy_threshold(entropy[inputs.mask], settings.top_entropy_quantile))
    return kept, int(kept.sum())


def _entropy(inputs: LossInputs, settings: LossSettings) -> Tensor:
    if inputs.entropy is None:
        raise ValueError(
            f"entropy_coef = {settings.entropy_coef} and top_entropy_quantile = {settings.top_entropy_quantile} need "
            "the tokens' entropies; entropy is None"
        )
    return inputs.entropy

"""What makes up for an engine that is not quite the policy: a weight for each token, and how far apart the two are.

The engine draws with its own kernels and rounding, so the distribution that tokens come from is not exactly the
one that is trained. With the ratio w = exp(logp - sampler_logp) of the trainer's log-probability (of the policy that
sampled) to the engine's, the mean of w * f over what the engine drew is the trainer's own mean of f. A mode says
whether w is a token's or a whole completion's (the product of its tokens'), and what becomes of one beyond the
limits: `truncate` cuts it to them, `mask` makes it 0.

Both log-probabilities are taken before top_k, top_p and min_p: the weights correct for kernels, not for truncation.

Source: truncated importance sampling as in Yao et al. 2025, "Your efficient RL framework secretly brings you
off-policy RL training"; modes and limits as in TRL 1.16, against which the weights are checked; the geometric mean as
in Liu et al. 2025, "When speed kills stability: demystifying RL collapse from the training-inference mismatch".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lydite.config import TrainConfig


@dataclass(frozen=True, slots=True)
class CorrectionSettings:
    """How tokens are weighed; see `TrainConfig` for the meaning."""

    mode: Literal[
        "token_truncate",
        "token_mask",
        "sequence_truncate",
        "sequence_mask",
        "geometric_truncate",
        "geometric_mask",
    ] = "token_truncate"
    clip_max: float | None = 3.0
    clip_min: float | None = None

    @classmethod
    def of(cls, config: TrainConfig) -> CorrectionSettings | None:
        """The settings that a run's configuration asks for; None when it wants no correction."""
        if not config.vllm_importance_sampling_correction:
            return None
        return cls(
            mode=config.vllm_importance_sampling_mode,
            clip_max=config.vllm_importance_sampling_clip_max,
            clip_min=config.vllm_importance_sampling_clip_min,
        )

    @property
    def of_sequences(self) -> bool:
        """True when a completion's tokens share one weight."""
        return self.mode.startswith(("sequence", "geometric"))


def importance_weights(logps: Tensor, sampler_logps: Tensor, mask: Tensor, settings: CorrectionSettings) -> Tensor:
    """Weights [b, T] of the tokens, without gradient; 0 where `mask` [b, T] leaves a token out.

    `logps` [b, T] are the trainer's, of the policy that sampled; `sampler_logps` [b, T] the engine's. A token whose
    engine gave NaN counts as one on which both agree.
    """
    away = _away(logps, sampler_logps, mask)
    ratio = _of_mode(away, mask, settings).exp()
    lowest = 0.0 if settings.clip_min is None else settings.clip_min
    highest = float("inf") if settings.clip_max is None else settings.clip_max
    if settings.mode.endswith("truncate"):
        weights = ratio.clamp(lowest, highest)
    else:
        weights = torch.where((ratio < lowest) | (ratio > highest), 0.0, ratio)
    return torch.where(mask, weights, 0.0)


class Drawn(NamedTuple):
    """One micro-batch's tokens as the trainer and as the engine see them, each [b, T]."""

    logps: Tensor
    sampler_logps: Tensor
    mask: Tensor


def sampling_figures(parts: Sequence[Drawn], settings: CorrectionSettings | None) -> dict[str, float]:
    """How far engine and trainer are apart, over all tokens of all micro-batches; nothing where there are none.

    - `sampling/sampling_logp_difference/{mean,max}`: of |logp - sampler_logp|, in nats.
    - `sampling/k3`: the mean of w - 1 - log w, which estimates KL(engine || trainer) in nats a token.
    - `sampling/importance_sampling_ratio/{min,mean,max}`: of the weights, over tokens, or over completions that
      have tokens in the modes that weigh whole completions. (TRL counts those without tokens too, as 1.)
    - `sampling/ess`: (sum w)^2 / (n sum w^2) of the n tokens' weights, the share of tokens that unweighted would
      tell as much.

    The last two are left out without a correction.

    Source: J. Schulman, "Approximating KL divergence", 2020, for k3; Kish 1965, "Survey Sampling", for the effective
    sample size; the other names are TRL's.
    """
    known = [part.mask & ~part.sampler_logps.isnan() for part in parts]
    away = torch.cat([_away(*part)[own] for part, own in zip(parts, known, strict=True)] or [torch.empty(0)]).double()
    if not away.numel():
        return {}
    figures = {
        "sampling/sampling_logp_difference/mean": away.abs().mean(),
        "sampling/sampling_logp_difference/max": away.abs().max(),
        "sampling/k3": (away.expm1() - away).mean(),
    }
    if settings is not None:
        weights = [importance_weights(*part, settings) for part in parts]
        of_tokens = torch.cat([own[part.mask] for own, part in zip(weights, parts, strict=True)]).double()
        shown = of_tokens
        if settings.of_sequences:  # every token of a completion has its weight, and what is masked has 0
            rows = [own[part.mask.any(1)] for own, part in zip(weights, parts, strict=True)]
            shown = torch.cat([own.amax(1) for own in rows if own.numel()]).double()
        squares = of_tokens.square().sum()
        figures |= {
            "sampling/importance_sampling_ratio/min": shown.min(),
            "sampling/importance_sampling_ratio/mean": shown.mean(),
            "sampling/importance_sampling_ratio/max": shown.max(),
            "sampling/ess": of_tokens.sum().square() / (of_tokens.numel() * squares.clamp(min=1e-300)),
        }
    return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))


def _of_mode(away: Tensor, mask: Tensor, settings: CorrectionSettings) -> Tensor:
    """The logarithm of the ratio that the mode is about: [b, T], or [b, 1] of completions."""
    if not settings.of_sequences:
        return away
    total = away.sum(1, keepdim=True)
    return total / mask.sum(1, keepdim=True).clamp(min=1) if settings.mode.startswith("geometric") else total


def _away(logps: Tensor, sampler_logps: Tensor, mask: Tensor) -> Tensor:
    """The logarithm of each token's ratio [b, T]; 0 where it is masked or not known, whatever lies there."""
    away = logps.detach() - sampler_logps.detach()
    return torch.where(mask & ~away.isnan(), away, 0.0)

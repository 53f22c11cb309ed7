"""Micro-batches of random numbers and settings for the losses, with garbage where nothing may look.

from support.loss_inputs import SETTINGS, loss_inputs
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from lydite.objective import LOSSES, LossInputs, LossSettings, UpdateTotals
from lydite.objective.high_entropy import entropy_threshold

TYPES = tuple(LOSSES)
LIMIT = 12  # max_completion_length

SETTINGS = st.builds(
    LossSettings,
    epsilon=st.floats(0.05, 0.5),
    epsilon_high=st.none() | st.floats(0.05, 2.0),
    delta=st.none() | st.floats(1.05, 4.0),
    beta=st.sampled_from([0.0, 0.04, 1.0]),
    use_bias_correction_kl=st.booleans(),
    kl_estimator=st.sampled_from(["k1", "k2", "k3"]),
    importance_sampling_level=st.sampled_from(["token", "sequence", "sequence_token"]),
    entropy_coef=st.sampled_from([0.0, 0.3]),
    top_entropy_quantile=st.sampled_from([1.0, 0.0, 0.3]),
    sapo_temperature_pos=st.floats(0.5, 4.0),
    vespo_k_pos=st.floats(0.5, 4.0),
    vespo_lambda_neg=st.floats(0.5, 4.0),
    dppo_divergence=st.sampled_from(["tv", "kl"]),
    dppo_mask_low=st.floats(0.0, 0.3),
    dppo_mask_high=st.floats(0.0, 0.3),
)


def made(
    seed: int,
    lengths: list[int],
    *,
    spread: float = 0.5,
    updates: float = 1.0,
    of_tokens: bool = False,
    weighed: bool = False,
) -> LossInputs:
    """Completions of the given lengths, with garbage on their padding.

    `of_tokens`: with an advantage for each token; `weighed`: from an engine that is off, and did not tell every token.
    """
    source = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max([*lengths, 1]))
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]

    def numbers(scale: float) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64) * scale

    old = -numbers(1.0).abs()
    logps = (old + numbers(spread)).clamp(max=-1e-3) if spread else old.clone()
    ref = old + numbers(spread)
    entropy, advantages = numbers(1.0).abs(), numbers(1.0)
    weights, sampler = numbers(1.0).abs().clamp(max=1.5), (old + numbers(0.2)).clamp(max=-1e-3)
    weights[weights < 0.1], sampler[::2, 0] = 0.0, math.nan
    for values, garbage in (
        (old, math.nan), (logps, 500.0), (ref, -math.inf), (entropy, math.nan), (advantages, math.nan),
        (weights, math.nan), (sampler, 700.0),
    ):  # fmt: skip
        values[~mask] = garbage
    totals = UpdateTotals(len(lengths), sum(lengths), sum(lengths) * updates, LIMIT)
    return LossInputs(
        logps=logps.requires_grad_(),
        old_logps=old,
        advantages=advantages if of_tokens else torch.randn(len(lengths), generator=source, dtype=torch.float64),
        mask=mask,
        totals=totals,
        ref_logps=ref,
        entropy=entropy.requires_grad_(),
        importance_weights=weights if weighed else None,
        sampler_logps=sampler if weighed else None,
    )


def with_threshold(inputs: LossInputs, settings: LossSettings) -> LossInputs:
    """The same as a part of an update that knows its entropy threshold."""
    if settings.top_entropy_quantile == 1.0:
        return inputs
    assert inputs.entropy is not None
    known = inputs.entropy[inputs.mask]
    threshold = entropy_threshold(known, settings.top_entropy_quantile)
    totals = replace(inputs.totals, entropy_threshold=threshold, high_entropy_tokens=int((known >= threshold).sum()))
    return replace(inputs, totals=totals)


def cut(inputs: LossInputs, start: int, stop: int) -> LossInputs:
    """Some completions of an update, with the update's totals."""
    rows = slice(start, stop)
    assert inputs.ref_logps is not None
    assert inputs.entropy is not None
    return replace(
        inputs,
        logps=inputs.logps[rows],
        old_logps=inputs.old_logps[rows],
        advantages=inputs.advantages[rows],
        mask=inputs.mask[rows],
        ref_logps=inputs.ref_logps[rows],
        entropy=inputs.entropy[rows],
        importance_weights=None if inputs.importance_weights is None else inputs.importance_weights[rows],
        sampler_logps=None if inputs.sampler_logps is None else inputs.sampler_logps[rows],
    )


def gradient(name: str, inputs: LossInputs, settings: LossSettings) -> Tensor:
    (result,) = torch.autograd.grad(LOSSES[name](inputs, settings).loss, inputs.logps)
    return result


LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)
KINDS = st.fixed_dictionaries({"of_tokens": st.booleans(), "weighed": st.booleans()})

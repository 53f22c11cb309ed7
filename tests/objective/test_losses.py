"""Each loss against a plain loop in float64, and the algebra of clipping, masking and cutting."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import LOSSES, LossInputs, LossSettings, UpdateTotals, merge_metrics

TYPES = tuple(LOSSES)
LIMIT = 12  # max_completion_length

SETTINGS = st.builds(
    LossSettings,
    epsilon=st.floats(0.05, 0.5),
    epsilon_high=st.none() | st.floats(0.05, 0.5),
    delta=st.none() | st.floats(1.05, 4.0),
    beta=st.sampled_from([0.0, 0.04, 1.0]),
    use_bias_correction_kl=st.booleans(),
)


def made(seed: int, lengths: list[int], *, spread: float = 0.5, updates: float = 1.0) -> LossInputs:
    """Completions of the given lengths, with garbage on their padding."""
    source = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max([*lengths, 1]))
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]

    def numbers(scale: float) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64) * scale

    old = -numbers(1.0).abs()
    logps = old + numbers(spread)
    ref = old + numbers(spread)
    entropy = numbers(1.0).abs()
    for values, garbage in ((old, math.nan), (logps, 500.0), (ref, -math.inf), (entropy, math.nan)):
        values[~mask] = garbage
    totals = UpdateTotals(len(lengths), sum(lengths), sum(lengths) * updates, LIMIT)
    return LossInputs(
        logps=logps.requires_grad_(),
        old_logps=old,
        advantages=torch.randn(len(lengths), generator=source, dtype=torch.float64),
        mask=mask,
        totals=totals,
        ref_logps=ref,
        entropy=entropy,
    )


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
    )


def token_loss(r: float, d_ref: float, advantage: float, settings: LossSettings) -> float:
    high = settings.epsilon if settings.epsilon_high is None else settings.epsilon_high
    inside = min(max(r, 1 - settings.epsilon), 1 + high)
    outside = r if settings.delta is None else min(r, settings.delta)
    return -min(outside * advantage, inside * advantage) + settings.beta * token_kl(r, d_ref, settings)


def token_kl(r: float, d_ref: float, settings: LossSettings) -> float:
    kl = math.exp(d_ref) - d_ref - 1
    return r * kl if settings.use_bias_correction_kl else kl


def reference(name: str, inputs: LossInputs, settings: LossSettings) -> tuple[float, dict[str, float]]:
    """Loss and figures, token by token."""
    assert inputs.ref_logps is not None
    assert inputs.entropy is not None
    high = 1 + (settings.epsilon if settings.epsilon_high is None else settings.epsilon_high)
    per_row, lows, highs, entropies, kls = [], [], [], [], []
    for row, advantage in enumerate(inputs.advantages.tolist()):
        losses = []
        low_flags, high_flags = [], []
        for t in range(inputs.mask.shape[1]):
            if not inputs.mask[row, t]:
                continue
            logp = inputs.logps[row, t].item()
            r, away = math.exp(logp - inputs.old_logps[row, t].item()), inputs.ref_logps[row, t].item() - logp
            losses.append(token_loss(r, away, advantage, settings))
            low_flags.append(r < 1 - settings.epsilon and advantage < 0)
            high_flags.append(r > high and advantage > 0)
            entropies.append(inputs.entropy[row, t].item())
            kls.append(token_kl(r, away, settings))
        per_row.append(losses)
        lows.append(low_flags)
        highs.append(high_flags)
    summed = sum(sum(losses) for losses in per_row)
    tokens = max(sum(map(len, per_row)), 1)
    totals = inputs.totals
    loss = {
        "grpo": sum(sum(losses) / max(len(losses), 1) for losses in per_row) / totals.sequences,
        "bnpo": summed / max(totals.tokens, 1),
        "dr_grpo": summed / (totals.sequences * totals.max_completion_length),
        "dapo": summed / (totals.mean_tokens or 1.0),
    }[name]
    figures = {
        "entropy": sum(entropies) / tokens,
        "clip_ratio/low_mean": sum(map(sum, lows)) / tokens,
        "clip_ratio/high_mean": sum(map(sum, highs)) / tokens,
        "clip_ratio/region_mean": (sum(map(sum, lows)) + sum(map(sum, highs))) / tokens,
        "clip_ratio/low_min": min((sum(flags) / len(flags) for flags in lows if flags), default=0.0),
        "clip_ratio/high_max": max((sum(flags) / len(flags) for flags in highs if flags), default=0.0),
    }
    if settings.beta > 0:
        figures["kl"] = sum(kls) / tokens
    return loss, figures


def gradient(name: str, inputs: LossInputs, settings: LossSettings) -> Tensor:
    (result,) = torch.autograd.grad(LOSSES[name](inputs, settings).loss, inputs.logps)
    return result


LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, updates=st.sampled_from([1.0, 0.75, 2.5]))
def test_loss_and_figures_match_the_loop(
    name: str, seed: int, lengths: list[int], settings: LossSettings, updates: float
) -> None:
    inputs = made(seed, lengths, updates=updates)
    output = LOSSES[name](inputs, settings)
    loss, figures = reference(name, inputs, settings)
    assert output.loss.item() == pytest.approx(loss, rel=1e-9, abs=1e-12)
    assert merge_metrics([output.metrics]) == pytest.approx(figures, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, data=st.data())
def test_micro_batches_of_any_cut_add_up_to_the_update(
    name: str, seed: int, lengths: list[int], settings: LossSettings, data: Any
) -> None:
    inputs = made(seed, lengths)
    bounds = sorted({0, len(lengths), *data.draw(st.lists(st.integers(0, len(lengths)), max_size=3))})
    parts = [LOSSES[name](cut(inputs, a, b), settings) for a, b in pairwise(bounds)]
    whole = LOSSES[name](inputs, settings)
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-9, abs=1e-12)
    summed = torch.stack([part.loss for part in parts]).sum()
    (from_parts,) = torch.autograd.grad(summed, inputs.logps)
    torch.testing.assert_close(from_parts, gradient(name, inputs, settings), rtol=1e-9, atol=1e-12)
    merged = merge_metrics([part.metrics for part in parts])
    assert merged == pytest.approx(merge_metrics([whole.metrics]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_padding_has_no_gradient_whatever_it_holds(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    inputs = made(seed, lengths)
    found = gradient(name, inputs, settings)
    assert found.isfinite().all()
    assert found[~inputs.mask].eq(0).all()


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_on_policy_the_gradient_is_the_policy_gradient(name: str, seed: int, lengths: list[int]) -> None:
    """Ratio 1: d loss / d logp = -A / divisor, and the loss is what the mean of -A makes it."""
    off = made(seed, lengths, spread=0.0)
    inputs = replace(off, old_logps=off.logps.detach())
    divisors = {
        "grpo": torch.tensor(lengths, dtype=torch.float64)[:, None] * len(lengths),
        "bnpo": torch.tensor(float(sum(lengths))),
        "dr_grpo": torch.tensor(float(len(lengths) * LIMIT)),
        "dapo": torch.tensor(float(sum(lengths))),
    }
    expected = torch.where(inputs.mask, -inputs.advantages[:, None] / divisors[name], 0.0)
    torch.testing.assert_close(gradient(name, inputs, LossSettings()), expected, rtol=1e-9, atol=1e-12)


def one_token(r: float, advantage: float, settings: LossSettings) -> tuple[float, float]:
    """Loss of a single token and its derivative by the log-probability."""
    logps = torch.tensor([[math.log(r)]], dtype=torch.float64, requires_grad=True)
    inputs = LossInputs(
        logps,
        torch.zeros(1, 1, dtype=torch.float64),
        torch.tensor([advantage], dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.bool),
        UpdateTotals(1, 1, 1.0, 1),
    )
    loss = LOSSES["dapo"](inputs, settings).loss
    (slope,) = torch.autograd.grad(loss, logps)
    return loss.item(), slope.item()


RATIO = st.floats(0.05, 20.0)
ADVANTAGE = st.floats(-3, 3).filter(lambda a: abs(a) > 1e-3)


@given(r=RATIO, advantage=ADVANTAGE, epsilon=st.floats(0.05, 0.4), more=st.floats(0.01, 0.5))
def test_a_wider_clip_never_raises_the_loss(r: float, advantage: float, epsilon: float, more: float) -> None:
    narrow = one_token(r, advantage, LossSettings(epsilon=epsilon))[0]
    wide = one_token(r, advantage, LossSettings(epsilon=epsilon + more))[0]
    wide_above = one_token(r, advantage, LossSettings(epsilon=epsilon, epsilon_high=epsilon + more))[0]
    assert wide <= narrow
    assert wide_above <= narrow
    if advantage < 0:
        assert wide_above == narrow, "the upper clip says nothing about tokens that should become less likely"


@given(r=RATIO, advantage=ADVANTAGE, delta=st.floats(1.2, 5.0), more=st.floats(0.1, 5.0))
def test_delta_bounds_the_loss_of_bad_tokens_only(r: float, advantage: float, delta: float, more: float) -> None:
    bounded = one_token(r, advantage, LossSettings(delta=delta))
    looser = one_token(r, advantage, LossSettings(delta=delta + more))
    free = one_token(r, advantage, LossSettings())
    if advantage > 0:
        assert bounded == looser == free  # delta >= 1 + epsilon here, so the clip is there first
        return
    assert bounded[0] <= looser[0] <= free[0]
    assert bounded[0] <= delta * -advantage + 1e-12
    assert (bounded[1] == 0.0) == (r > delta or r < 0.8)


@given(r=RATIO, advantage=ADVANTAGE)
def test_a_clipped_token_has_no_gradient_and_others_have_the_ratios(r: float, advantage: float) -> None:
    clipped = (advantage > 0 and r > 1.3) or (advantage < 0 and r < 0.8)
    slope = one_token(r, advantage, LossSettings(epsilon=0.2, epsilon_high=0.3))[1]
    assert slope == pytest.approx(0.0 if clipped else -r * advantage, rel=1e-9)


@given(logp=st.floats(-5, -0.01), ref=st.floats(-5, -0.01), corrected=st.booleans())
def test_the_kl_estimate_is_not_negative_and_pulls_towards_the_reference(
    logp: float, ref: float, corrected: bool
) -> None:
    """By the log-probability: 1 - q/p for the paper's term, log(p/q) for the corrected one (reverse KL's)."""
    logps = torch.tensor([[logp]], dtype=torch.float64, requires_grad=True)
    inputs = LossInputs(
        logps,
        logps.detach(),
        torch.zeros(1, dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.bool),
        UpdateTotals(1, 1, 1.0, 1),
        ref_logps=torch.tensor([[ref]], dtype=torch.float64),
    )
    output = LOSSES["dapo"](inputs, LossSettings(beta=0.5, use_bias_correction_kl=corrected))
    (slope,) = torch.autograd.grad(output.loss, logps)
    assert output.loss.item() >= 0
    expected = logp - ref if corrected else 1 - math.exp(ref - logp)
    assert slope.item() == pytest.approx(0.5 * expected, rel=1e-9, abs=1e-12)
    assert merge_metrics([output.metrics])["kl"] == pytest.approx(2 * output.loss.item(), abs=1e-12)


def test_beta_without_a_reference_is_refused() -> None:
    inputs = replace(made(0, [2]), ref_logps=None)
    with pytest.raises(ValueError, match=r"beta = 0.1 needs the reference"):
        LOSSES["grpo"](inputs, LossSettings(beta=0.1))
    assert "kl" not in merge_metrics([LOSSES["grpo"](inputs, LossSettings()).metrics])


@pytest.mark.parametrize("name", TYPES)
def test_an_update_without_tokens_has_loss_zero_and_finite_figures(name: str) -> None:
    inputs = made(0, [0, 0])
    output = LOSSES[name](inputs, LossSettings(beta=0.1))
    assert output.loss.item() == 0.0
    assert gradient(name, inputs, LossSettings(beta=0.1)).eq(0).all()
    assert set(merge_metrics([output.metrics]).values()) == {0.0}


def test_metrics_that_do_not_go_together_are_refused() -> None:
    inputs = made(0, [2])
    with_kl = LOSSES["grpo"](inputs, LossSettings(beta=0.1)).metrics
    without = LOSSES["grpo"](inputs, LossSettings()).metrics
    with pytest.raises(ValueError, match="1 of 2 micro-batches have kl"):
        merge_metrics([with_kl, without])
    with pytest.raises(ValueError, match="at least one micro-batch"):
        merge_metrics([])


def test_metrics_carry_no_gradient() -> None:
    inputs = made(0, [3, 2])
    metrics = LOSSES["grpo"](replace(inputs, entropy=inputs.logps * -1), LossSettings(beta=0.1)).metrics
    for value in (metrics.tokens, metrics.entropy, metrics.kl, metrics.low, metrics.high, metrics.low_min):
        assert value is not None
        assert not value.requires_grad


def test_there_is_a_loss_for_every_name_of_the_configuration() -> None:
    schema = TrainConfig.model_json_schema()["properties"]["loss_type"]
    assert set(schema["enum"]) == set(LOSSES)
    assert LossSettings.of(TrainConfig(epsilon=0.1, epsilon_high=0.3, delta=2.0, beta=0.5)) == LossSettings(
        0.1, 0.3, 2.0, 0.5
    )

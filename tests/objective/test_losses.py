"""Each loss against a plain loop in float64, and the algebra of clipping, masking and cutting."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support.loss_by_the_loop import CLIPPED, loop
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import LOSSES, LossInputs, LossSettings, UpdateTotals, merge_metrics
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


@pytest.mark.parametrize("name", TYPES)
@given(
    seed=st.integers(0, 10_000),
    lengths=LENGTHS,
    settings=SETTINGS,
    updates=st.sampled_from([1.0, 0.75, 2.5]),
    kind=KINDS,
)
def test_loss_and_figures_match_the_loop(
    name: str, seed: int, lengths: list[int], settings: LossSettings, updates: float, kind: dict[str, bool]
) -> None:
    if kind["of_tokens"] and settings.importance_sampling_level == "sequence":
        kind = {**kind, "of_tokens": False}  # a completion's clip is then no longer one for all its tokens
    inputs = made(seed, lengths, updates=updates, **kind)
    output = LOSSES[name](inputs, settings)
    loss, figures = loop(name, inputs, settings)
    assert output.loss.item() == pytest.approx(loss, rel=1e-9, abs=1e-12)
    assert merge_metrics([output.metrics]) == pytest.approx(figures, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, kind=KINDS, data=st.data())
def test_micro_batches_of_any_cut_add_up_to_the_update(
    name: str, seed: int, lengths: list[int], settings: LossSettings, kind: dict[str, bool], data: Any
) -> None:
    inputs = with_threshold(made(seed, lengths, **kind), settings)
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
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS, kind=KINDS)
def test_padding_has_no_gradient_whatever_it_holds(
    name: str, seed: int, lengths: list[int], settings: LossSettings, kind: dict[str, bool]
) -> None:
    inputs = made(seed, lengths, **kind)
    assert inputs.entropy is not None
    loss = LOSSES[name](inputs, settings).loss
    for found in torch.autograd.grad(loss, (inputs.logps, inputs.entropy), materialize_grads=True):
        assert found.isfinite().all()
        assert found[~inputs.mask].eq(0).all()


@pytest.mark.parametrize("level", ["token", "sequence", "sequence_token"])
@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_on_policy_the_gradient_is_the_policy_gradient(name: str, level: Any, seed: int, lengths: list[int]) -> None:
    """Ratio 1: d loss / d logp = -A / divisor, for every loss and every level."""
    off = made(seed, lengths, spread=0.0)
    inputs = replace(off, old_logps=off.logps.detach())
    of_sequences = torch.tensor(lengths, dtype=torch.float64)[:, None] * len(lengths)
    divisors = {
        "grpo": of_sequences,
        "sapo": of_sequences,
        "dr_grpo": torch.tensor(float(len(lengths) * LIMIT)),
        "luspo": torch.tensor(float(len(lengths))),
    }
    divisor = divisors.get(name, torch.tensor(float(sum(lengths))))
    expected = torch.where(inputs.mask, -inputs.advantages[:, None] / divisor, 0.0)
    found = gradient(name, inputs, LossSettings(importance_sampling_level=level))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CLIPPED)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_gspo_by_tokens_has_the_gradient_of_gspo(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    """Where a completion has one advantage; for every average, since the ratio is one for all of its tokens."""
    inputs = made(seed, lengths)
    plain = replace(settings, beta=0.0, top_entropy_quantile=1.0)
    whole, by_tokens = (
        gradient(name, inputs, replace(plain, importance_sampling_level=level))
        for level in ("sequence", "sequence_token")
    )
    torch.testing.assert_close(whole, by_tokens, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_advantages_of_tokens_that_are_all_one_are_that_of_the_completion(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    inputs = made(seed, lengths)
    spread = torch.where(inputs.mask, inputs.advantages[:, None], math.nan)
    one, other = (
        (LOSSES[name](each, settings), gradient(name, each, settings))
        for each in (inputs, replace(inputs, advantages=spread))
    )
    torch.testing.assert_close(one[0].loss, other[0].loss, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one[1], other[1], rtol=1e-9, atol=1e-12)
    assert one[0].metrics.live == other[0].metrics.live


def test_advantages_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"completions \[2\] or of their tokens \[2, 3\] were expected, got \[3\]"):
        LOSSES["grpo"](replace(made(0, [2, 3]), advantages=torch.zeros(3)), LossSettings())


def one_token(
    r: float, advantage: float, settings: LossSettings, name: str = "dapo", old: float = 0.0
) -> tuple[float, float]:
    """Loss of a single token and its derivative by the log-probability."""
    logps = torch.tensor([[math.log(r) + old]], dtype=torch.float64, requires_grad=True)
    inputs = LossInputs(
        logps,
        torch.full((1, 1), old, dtype=torch.float64),
        torch.tensor([advantage], dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.bool),
        UpdateTotals(1, 1, 1.0, 1),
    )
    loss = LOSSES[name](inputs, settings).loss
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
    assume(min(abs(r - delta), abs(r - 0.8)) > 1e-9)  # exp(log(r)) may be on the other side of an edge
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


@given(r=RATIO, advantage=ADVANTAGE, highest=st.floats(1.0, 9.0))
def test_cispo_keeps_every_token_and_bounds_its_weight(r: float, advantage: float, highest: float) -> None:
    slope = one_token(r, advantage, LossSettings(epsilon_high=highest), "cispo")[1]
    assert slope == pytest.approx(-min(r, highest) * advantage, rel=1e-9)


@given(r=RATIO, advantage=ADVANTAGE, cool=st.floats(0.5, 2.0), more=st.floats(0.1, 3.0))
def test_sapo_attenuates_on_both_sides_and_more_where_it_is_hotter(
    r: float, advantage: float, cool: float, more: float
) -> None:
    """The gate's derivative is 4 p (1 - p) <= 1, and falls with the temperature away from r = 1."""
    slopes = [
        one_token(r, advantage, LossSettings(sapo_temperature_pos=t, sapo_temperature_neg=t), "sapo")[1]
        for t in (cool, cool + more)
    ]
    assert all(slope * -advantage >= 0 for slope in slopes)
    assert abs(slopes[1]) <= abs(slopes[0]) * (1 + 1e-9) <= r * abs(advantage) * (1 + 1e-8)


@given(old=st.floats(-12.0, -0.01), advantage=ADVANTAGE, move=st.floats(-0.9, 0.9), limit=st.floats(0.01, 0.5))
def test_dppo_goes_by_probabilities_and_lets_tokens_come_back(
    old: float, advantage: float, move: float, limit: float
) -> None:
    p = math.exp(old) + move
    assume(1e-6 < p < 1.0 and abs(abs(move) - limit) > 1e-9)
    r = p / math.exp(old)
    settings = LossSettings(dppo_mask_low=limit, dppo_mask_high=limit)
    slope = one_token(r, advantage, settings, "dppo", old)[1]
    away = abs(move) > limit and (move > 0) == (advantage > 0)
    assert slope == pytest.approx(0.0 if away else -r * advantage, rel=1e-6)


def test_dppo_is_held_to_the_engine_where_it_told() -> None:
    """p = 0.5 and the old policy's, from which it has not moved; the engine drew with 0.1, and of one token unknown."""
    logps = torch.full((1, 2), math.log(0.5), dtype=torch.float64, requires_grad=True)
    inputs = replace(
        made(0, [2]),
        logps=logps,
        old_logps=logps.detach(),
        advantages=torch.ones(1, dtype=torch.float64),
        sampler_logps=torch.tensor([[math.log(0.1), math.nan]], dtype=torch.float64),
    )
    assert gradient("dppo", inputs, LossSettings()).tolist() == [[0.0, -0.5]]
    assert gradient("dppo", replace(inputs, sampler_logps=None), LossSettings()).tolist() == [[-0.5, -0.5]]


@pytest.mark.parametrize("name", TYPES)
@given(seed=st.integers(0, 10_000), lengths=LENGTHS, settings=SETTINGS)
def test_live_tokens_are_those_whose_surrogate_has_a_gradient(
    name: str, seed: int, lengths: list[int], settings: LossSettings
) -> None:
    inputs = made(seed, lengths, weighed=True)
    assert inputs.sampler_logps is not None
    plain = replace(settings, beta=0.0, importance_sampling_level="token")
    slopes = gradient(name, inputs, plain)
    assert LOSSES[name](inputs, plain).metrics.live.item() == int((slopes != 0).sum())


@given(seed=st.integers(0, 10_000), lengths=LENGTHS, coefficient=st.floats(0.01, 2.0))
def test_the_entropy_bonus_is_the_same_for_every_loss_and_pushes_entropies_up(
    seed: int, lengths: list[int], coefficient: float
) -> None:
    """d loss / d entropy = -coefficient / tokens for each token, and nothing by the log-probabilities."""
    inputs = made(seed, lengths)
    assert inputs.entropy is not None
    expected = inputs.mask.double() * -coefficient / max(sum(lengths), 1)
    for name in TYPES:
        with_bonus = LOSSES[name](inputs, LossSettings(entropy_coef=coefficient)).loss
        of_logps, of_entropy = torch.autograd.grad(with_bonus, (inputs.logps, inputs.entropy))
        torch.testing.assert_close(of_entropy, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(of_logps, gradient(name, inputs, LossSettings()), rtol=1e-9, atol=1e-12)


def test_a_part_of_an_update_is_told_to_bring_the_threshold() -> None:
    settings = LossSettings(top_entropy_quantile=0.2)
    with pytest.raises(
        ValueError, match=r"top_entropy_quantile = 0\.2 needs the entropy threshold of the whole update"
    ):
        LOSSES["grpo"](cut(made(0, [3, 2]), 0, 1), settings)
    with pytest.raises(ValueError, match="need the tokens' entropies; entropy is None"):
        LOSSES["grpo"](replace(made(0, [3, 2]), entropy=None), settings)


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

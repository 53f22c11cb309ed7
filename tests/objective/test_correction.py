"""The weights against a plain loop, their algebra, what they do to a loss, and the figures of a whole step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import (
    LOSSES,
    CorrectionSettings,
    Drawn,
    LossInputs,
    LossSettings,
    UpdateTotals,
    build_batch,
    importance_weights,
    merge_metrics,
    micro_batch_loss,
    policy_logps,
    sampling_figures,
    update_totals,
    with_advantages,
)
from lydite.types import Scored

MODES = get_args(get_type_hints(CorrectionSettings)["mode"])
LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=5)
SEED = st.integers(0, 10_000)
LIMITS = st.tuples(st.none() | st.floats(0.2, 0.9), st.none() | st.floats(1.1, 3.0))
SETTINGS = st.builds(
    lambda mode, limits: CorrectionSettings(mode, clip_min=limits[0], clip_max=limits[1]),
    st.sampled_from(MODES),
    LIMITS,
)


def made(seed: int, lengths: list[int], spread: float = 0.8) -> Drawn:
    """Completions of the given lengths whose engine is off by `spread`, with garbage on their padding."""
    source = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max([*lengths, 1]))
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    logps = -torch.randn(shape, generator=source, dtype=torch.float64).abs()
    sampler = logps + spread * torch.randn(shape, generator=source, dtype=torch.float64)
    logps[~mask], sampler[~mask] = math.nan, -math.inf
    return Drawn(logps, sampler, mask)


def weight(ratio: float, settings: CorrectionSettings) -> float:
    low = -math.inf if settings.clip_min is None else settings.clip_min
    high = math.inf if settings.clip_max is None else settings.clip_max
    if settings.mode.endswith("truncate"):
        return min(max(ratio, low), high)
    return ratio if low <= ratio <= high else 0.0


def by_the_loop(drawn: Drawn, settings: CorrectionSettings) -> list[list[float]]:
    """The weights, token by token; 0 on padding."""
    rows = []
    for logps, sampler, mask in zip(*(part.tolist() for part in drawn), strict=True):
        away = [own - other if kept else 0.0 for own, other, kept in zip(logps, sampler, mask, strict=True)]
        if settings.mode.startswith("sequence"):
            away = [sum(away)] * len(away)
        elif settings.mode.startswith("geometric"):
            away = [sum(away) / max(sum(mask), 1)] * len(away)
        rows.append([weight(math.exp(one), settings) if kept else 0.0 for one, kept in zip(away, mask, strict=True)])
    return rows


def figures_by_the_loop(drawn: Drawn, settings: CorrectionSettings) -> dict[str, float]:
    away, weights, shown = [], [], []
    for logps, sampler, mask, row in zip(*(part.tolist() for part in drawn), by_the_loop(drawn, settings), strict=True):
        kept = [t for t, one in enumerate(mask) if one]
        away += [logps[t] - sampler[t] for t in kept]
        weights += [row[t] for t in kept]
        shown += [row[t] for t in (kept if settings.mode.startswith("token") else kept[:1])]
    squares = sum(one**2 for one in weights)
    return {
        "sampling/sampling_logp_difference/mean": sum(map(abs, away)) / len(away),
        "sampling/sampling_logp_difference/max": max(map(abs, away)),
        "sampling/k3": sum(math.exp(one) - 1 - one for one in away) / len(away),
        "sampling/importance_sampling_ratio/min": min(shown),
        "sampling/importance_sampling_ratio/mean": sum(shown) / len(shown),
        "sampling/importance_sampling_ratio/max": max(shown),
        "sampling/ess": sum(weights) ** 2 / len(weights) / squares if squares else 0.0,
    }


@given(seed=SEED, lengths=LENGTHS, settings=SETTINGS)
def test_weights_match_the_loop_and_padding_has_none(
    seed: int, lengths: list[int], settings: CorrectionSettings
) -> None:
    drawn = made(seed, lengths)
    found = importance_weights(*drawn, settings)
    expected = torch.tensor(by_the_loop(drawn, settings), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0.0)
    assert found[~drawn.mask].eq(0).all()


@given(seed=SEED, lengths=LENGTHS, settings=SETTINGS)
def test_where_both_agree_every_weight_is_one(seed: int, lengths: list[int], settings: CorrectionSettings) -> None:
    drawn = made(seed, lengths, spread=0.0)
    assert torch.equal(importance_weights(*drawn, settings), drawn.mask.double())
    figures = sampling_figures([drawn], settings)
    assert figures == ({} if not any(lengths) else {
        "sampling/sampling_logp_difference/mean": 0.0, "sampling/sampling_logp_difference/max": 0.0, "sampling/k3": 0.0,
        "sampling/importance_sampling_ratio/min": 1.0, "sampling/importance_sampling_ratio/mean": 1.0,
        "sampling/importance_sampling_ratio/max": 1.0, "sampling/ess": 1.0,
    })  # fmt: skip


@given(seed=SEED, lengths=LENGTHS, settings=SETTINGS)
def test_no_weight_is_beyond_the_limits(seed: int, lengths: list[int], settings: CorrectionSettings) -> None:
    drawn = made(seed, lengths, spread=5.0)
    found = importance_weights(*drawn, settings)[drawn.mask]
    within = found <= (settings.clip_max or math.inf)
    above = found >= (settings.clip_min or 0.0)
    if settings.mode.endswith("mask"):
        above |= found == 0
    assert bool((within & above).all())


@given(seed=SEED, lengths=LENGTHS, settings=SETTINGS, data=st.data())
def test_the_order_of_completions_plays_no_part(
    seed: int, lengths: list[int], settings: CorrectionSettings, data: Any
) -> None:
    drawn = made(seed, lengths)
    order = torch.tensor(data.draw(st.permutations(range(len(lengths)))))
    turned = Drawn(*(part[order] for part in drawn))
    assert torch.equal(importance_weights(*turned, settings), importance_weights(*drawn, settings)[order])
    assert sampling_figures([turned], settings) == pytest.approx(sampling_figures([drawn], settings), rel=1e-12)


@given(seed=SEED, lengths=LENGTHS.filter(any), settings=SETTINGS, data=st.data())
def test_figures_match_the_loop_however_the_step_is_cut(
    seed: int, lengths: list[int], settings: CorrectionSettings, data: Any
) -> None:
    """Cut into micro-batches as `Batch.rows` does, each as wide as its own longest completion."""
    drawn = made(seed, lengths)
    bounds = sorted({0, len(lengths), *data.draw(st.lists(st.integers(0, len(lengths)), max_size=3))})
    parts = [Drawn(*(one[a:b, : max(lengths[a:b])] for one in drawn)) for a, b in pairwise(bounds)]
    figures = sampling_figures(parts, settings)
    assert figures == pytest.approx(figures_by_the_loop(drawn, settings), rel=1e-10, abs=1e-14)
    assert 0.0 <= figures["sampling/ess"] <= 1.0 + 1e-12
    assert figures["sampling/k3"] >= 0.0
    without = sampling_figures(parts, None)
    assert without == {name: figures[name] for name in list(figures)[:3]}, "without a correction there are no weights"


def test_k3_estimates_the_divergence_of_the_engine_from_the_trainer() -> None:
    """Over draws from the engine's distribution, so that the arguments' order shows."""
    engine, trainer = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.4, 0.3, 0.3])
    tokens = torch.multinomial(engine, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))[None]
    drawn = Drawn(trainer.log()[tokens], engine.log()[tokens], torch.ones_like(tokens, dtype=torch.bool))
    divergence = float((engine * (engine / trainer).log()).sum())
    assert sampling_figures([drawn], None)["sampling/k3"] == pytest.approx(divergence, rel=0.02)


def test_a_token_whose_engine_did_not_say_counts_as_one_that_agrees() -> None:
    drawn = Drawn(torch.tensor([[-1.0, -2.0]]), torch.tensor([[math.nan, -1.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert importance_weights(*drawn, CorrectionSettings()).tolist() == [[1.0, pytest.approx(math.exp(-1.0))]]
    assert sampling_figures([drawn], None)["sampling/sampling_logp_difference/mean"] == 1.0


def test_a_step_without_tokens_or_completions_has_no_figures() -> None:
    assert sampling_figures([made(0, [0, 0])], CorrectionSettings()) == {}
    assert sampling_figures([], CorrectionSettings()) == {}


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "vespo"])  # there they are in the ratio
@given(seed=SEED, lengths=LENGTHS, settings=SETTINGS)
def test_the_surrogate_is_multiplied_and_the_kl_term_is_not(
    name: str, seed: int, lengths: list[int], settings: CorrectionSettings
) -> None:
    """d loss / d logp = weight * (that of the surrogate) + that of the KL term, token by token."""
    drawn = made(seed, lengths)
    source = torch.Generator().manual_seed(seed + 1)
    logps = drawn.logps.clone().requires_grad_()
    ref = drawn.logps + 0.3 * torch.randn(drawn.logps.shape, generator=source, dtype=torch.float64)
    advantages = torch.randn(len(lengths), generator=source, dtype=torch.float64)
    totals = UpdateTotals(len(lengths), sum(lengths), float(sum(lengths)), 9)
    plain = LossInputs(logps, drawn.logps + 0.1, advantages, drawn.mask, totals, ref_logps=ref)
    weights = importance_weights(*drawn, settings).masked_fill(~drawn.mask, math.nan)

    def slope(inputs: LossInputs, beta: float) -> Tensor:
        (found,) = torch.autograd.grad(LOSSES[name](inputs, LossSettings(beta=beta)).loss, logps)
        return found

    surrogate, kl = slope(plain, 0.0), slope(plain, 0.5) - slope(plain, 0.0)
    found = slope(replace(plain, importance_weights=weights), 0.5)
    torch.testing.assert_close(found, surrogate * weights.nan_to_num(0.0) + kl, rtol=1e-9, atol=1e-12)


def test_tokens_without_a_weight_are_not_live() -> None:
    """Four tokens: a live one, one without an advantage, one that is certain, one that the mode dropped."""
    logps = torch.tensor([[-1.0], [-1.0], [0.0], [-1.0]])
    inputs = LossInputs(
        logps,
        logps,
        torch.tensor([1.0, 0.0, 1.0, 1.0]),
        torch.ones(4, 1, dtype=torch.bool),
        UpdateTotals(4, 4, 4.0, 1),
        importance_weights=torch.tensor([[1.0], [1.0], [1.0], [0.0]]),
    )
    assert LOSSES["dapo"](inputs, LossSettings()).metrics.live.item() == 1
    assert LOSSES["dapo"](replace(inputs, importance_weights=None), LossSettings()).metrics.live.item() == 2


@pytest.mark.parametrize("delta", [None, 1.05, 1.5])
def test_live_tokens_are_those_with_a_gradient(delta: float | None) -> None:
    """Ratios on either side of every limit, paid and not, one token each."""
    ratios = torch.tensor([0.5, 0.9, 1.0, 1.04, 1.1, 1.3, 2.0], dtype=torch.float64).repeat(2)[:, None]
    logps = torch.full_like(ratios, -1.0, requires_grad=True)
    for row, (ratio, advantage) in enumerate(zip(ratios, torch.linspace(-1, 1, 14).sign(), strict=True)):
        one = LossInputs(
            logps[row, None],
            logps[row, None].detach() - ratio.log(),
            advantage[None],
            torch.ones(1, 1, dtype=torch.bool),
            UpdateTotals(1, 1, 1.0, 9),
        )
        output = LOSSES["dapo"](one, LossSettings(delta=delta))
        (slope,) = torch.autograd.grad(output.loss, logps)
        assert output.metrics.live.item() == int((slope != 0).sum()), (ratio, advantage)


@pytest.fixture(scope="module")
def scored(scored_of: Callable[..., Scored]) -> Scored:
    tokens = [[[8, 9, 1], [10, 1], [11, 12, 13, 14]], [[1], [16, 17, 18, 1], [9, 8]]]
    logps = [[[-0.5 * (1 + i % 3) for i in ids] for ids in group] for group in tokens]
    return with_advantages(
        scored_of([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0]], prompts=[[4, 5, 6], [7]], tokens=tokens, logps=logps),
        scale="group",
        aggregate="sum_then_normalize",
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_micro_batch_is_weighed_by_what_its_engine_said(mode: Any, scored: Scored, toy_policy: Any) -> None:
    """Against the policy that sampled: its own log-probabilities first, and the old ones after it has learned."""
    batch = build_batch(scored, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    off = TrainConfig(vllm_importance_sampling_correction=False)
    on = TrainConfig(vllm_importance_sampling_mode=mode, vllm_importance_sampling_clip_max=1.5)
    totals = update_totals(batch, 0, batch.size, max_completion_length=5)
    policy = toy_policy(20, 6)
    old = policy_logps(policy, batch, off).logps.detach()
    assert batch.sampler_logps is not None
    settings = CorrectionSettings(mode, clip_max=1.5)
    weights = importance_weights(old, batch.sampler_logps, batch.completion_mask, settings)
    expected = -(weights * batch.advantages[:, None]).sum() / batch.completion_mask.sum()
    assert micro_batch_loss(policy, batch, totals, on)[0].loss.item() == pytest.approx(expected.item(), abs=1e-6)

    with torch.no_grad():
        policy.adapter.add_(0.05 * torch.eye(6))
    own = policy_logps(policy, batch, off).logps.detach()
    inputs = LossInputs(own, old, batch.advantages, batch.completion_mask, totals, importance_weights=weights)
    expected = LOSSES["dapo"](inputs, LossSettings()).loss
    found = micro_batch_loss(policy, batch, totals, on, old_logps=old)[0].loss
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert found.item() != pytest.approx(micro_batch_loss(policy, batch, totals, off, old)[0].loss.item(), abs=1e-4)


def test_an_engine_without_logps_and_a_configuration_that_is_off_weigh_nothing(scored: Scored, toy_policy: Any) -> None:
    batch = build_batch(scored, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    totals = update_totals(batch, 0, batch.size, max_completion_length=5)
    policy = toy_policy(20, 6)
    silent = micro_batch_loss(policy, replace(batch, sampler_logps=None), totals, TrainConfig())[0]
    off = micro_batch_loss(policy, batch, totals, TrainConfig(vllm_importance_sampling_correction=False))[0]
    on = micro_batch_loss(policy, batch, totals, TrainConfig())[0]
    assert silent.loss.item() == off.loss.item() != on.loss.item()
    assert merge_metrics([silent.metrics]) == merge_metrics([on.metrics])


def test_the_settings_are_those_of_the_configuration() -> None:
    schema = TrainConfig.model_json_schema()["properties"]["vllm_importance_sampling_mode"]
    assert tuple(schema["enum"]) == MODES
    assert CorrectionSettings.of(TrainConfig()) == CorrectionSettings("token_truncate", clip_max=3.0, clip_min=None)
    chosen = TrainConfig(vllm_importance_sampling_mode="sequence_mask", vllm_importance_sampling_clip_min=0.5)
    assert CorrectionSettings.of(chosen) == CorrectionSettings("sequence_mask", clip_max=3.0, clip_min=0.5)
    assert CorrectionSettings.of(TrainConfig(vllm_importance_sampling_correction=False)) is None
    with pytest.raises(ValidationError, match=r"clip_min = 4\.0 is above vllm_importance_sampling_clip_max = 3\.0"):
        TrainConfig(vllm_importance_sampling_clip_min=4.0)

"""What each family does with one token, as its ratio moves: clips, ceilings, gates and masks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.loss_inputs import gradient, made

from lydite.objective import LOSSES, LossInputs, LossSettings, UpdateTotals


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


@example(5.875, 1.0, 60.0, 0.0)  # the weight is 1e307, and its loss more than a float holds
@given(RATIO, ADVANTAGE, st.floats(0.0, 60.0), st.floats(0.0, 5.0))
def test_vespo_bounds_the_weight_whatever_its_powers(r: float, advantage: float, k: float, decay: float) -> None:
    settings = LossSettings(vespo_k_pos=k, vespo_k_neg=k, vespo_lambda_pos=decay, vespo_lambda_neg=decay)
    loss, slope = one_token(r**8, advantage, settings, "vespo", old=-30.0)
    assert math.isfinite(loss)
    assert math.isfinite(slope)
    if decay < 1e-4:
        least = LossSettings(vespo_k_pos=k, vespo_k_neg=k, vespo_lambda_pos=1e-4, vespo_lambda_neg=1e-4)
        assert (loss, slope) == one_token(r**8, advantage, least, "vespo", old=-30.0)


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

"""What all losses have in common: live tokens, the entropy bonus, the KL term, and figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.loss_inputs import LENGTHS, SETTINGS, TYPES, cut, gradient, made

from lydite.config import TrainConfig
from lydite.objective import LOSSES, LossInputs, LossSettings, UpdateTotals, merge_metrics


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

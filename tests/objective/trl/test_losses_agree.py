"""Losses, gradients and figures through TRL's own trainer, of one micro-batch and of several."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.beside_trl import BESIDE_TRL, LlamaPolicy
from support.trl_grpo import (
    LENGTHS,
    LIMIT,
    away_from,
    batch_of,
    gradients,
    trl_inputs,
)

from lydite.config import TrainConfig
from lydite.objective import (
    LOSSES,
    Batch,
    UpdateTotals,
    merge_metrics,
    micro_batch_loss,
    update_totals,
)
from lydite.types import Scored

pytestmark = BESIDE_TRL


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "kl": {"beta": 0.1},
    "two-sided": {"delta": 1.5},
    "clip-higher": {"epsilon": 0.1, "epsilon_high": 0.3},
    "all, cool": {"beta": 0.1, "delta": 1.4, "epsilon_high": 0.3, "temperature": 0.7},
}


GSPO: dict[str, Any] = {"importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.03}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("grpo", GSPO),
    ("grpo", {**GSPO, "beta": 0.1, "delta": 1.1}),
    ("bnpo", {**GSPO, "beta": 0.1}),
    ("dr_grpo", GSPO),
    ("dapo", GSPO),
    ("luspo", GSPO),
    ("luspo", {**GSPO, "beta": 0.1, "use_bias_correction_kl": False}),
    ("cispo", {"epsilon_high": 1.3}),
    ("cispo", {"epsilon_high": 1.05, "importance_sampling_level": "sequence", "beta": 0.1, "temperature": 0.7}),
    ("sapo", {}),
    ("sapo", {"sapo_temperature_pos": 3.0, "sapo_temperature_neg": 5.0, "beta": 0.1}),
    ("sapo", {"importance_sampling_level": "sequence", "sapo_temperature_neg": 20.0}),
    ("vespo", {}),
    ("vespo", {"vespo_k_pos": 1.0, "vespo_lambda_pos": 0.7, "vespo_k_neg": 0.5, "vespo_lambda_neg": 3.0, "beta": 0.1}),
    ("dapo", {"top_entropy_quantile": 0.3}),
    ("grpo", {"top_entropy_quantile": 0.0, "beta": 0.1}),
    ("grpo", {"entropy_coef": 0.3}),
    ("cispo", {"epsilon_high": 1.3, "entropy_coef": 0.3, "top_entropy_quantile": 0.6, "temperature": 0.7}),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_loss_gradients_and_figures_of_one_micro_batch(
    name: Any, case: str, masked: bool, scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    batch = batch_of(scored, mask=masked)
    figures = compared(name, CASES[case], batch, model, trl_trainer)
    assert figures["clip_ratio/region_mean"] > 0, "the case must clip something"


@pytest.mark.parametrize(
    ("name", "options"), OTHERS, ids=[f"{name} {', '.join(options) or 'plain'}" for name, options in OTHERS]
)
def test_loss_gradients_and_figures_of_the_other_families(
    name: Any, options: dict[str, Any], scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    figures = compared(name, options, batch_of(scored), model, trl_trainer)
    clips = [value for key, value in figures.items() if key in ("clip_ratio/region_mean", "cispo_clip_ratio")]
    assert clips == [] if name in ("sapo", "vespo") else clips[0] > 0, "the case must clip something"


def compared(
    name: Any, options: dict[str, Any], batch: Batch, model: Any, trl_trainer: Callable[..., Any]
) -> dict[str, float]:
    """Loss, gradients and figures of one micro-batch, which are TRL's; the figures are returned."""
    config = TrainConfig(loss_type=name, max_completion_length=LIMIT, logprob_chunk_size=5, **options)
    totals = update_totals(batch, 0, batch.size, max_completion_length=LIMIT)
    mine = LlamaPolicy(copy.deepcopy(model))
    blank = torch.zeros(batch.completion_mask.shape)
    on_policy = micro_batch_loss(mine, batch, totals, config, ref_logps=blank)[1]
    old, ref = (away_from(on_policy, batch.completion_mask, seed) for seed in (1, 2))

    output, _ = micro_batch_loss(mine, batch, totals, config, old_logps=old, ref_logps=ref)
    torch.autograd.backward(output.loss)

    trainer = trl_trainer(loss_type=name, **options)
    theirs = trainer._compute_loss(trainer.model, trl_inputs(batch, old, ref, totals.tokens))
    torch.autograd.backward(theirs)

    torch.testing.assert_close(output.loss, theirs, rtol=1e-4, atol=1e-6)
    expected = gradients(trainer.model)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-3, atol=2e-6, msg=parameter)

    figures = merge_metrics([output.metrics])
    logged = {key: values[-1] for key, values in trainer._metrics["train"].items() if key in figures}
    assert logged == pytest.approx(figures, rel=1e-4, abs=1e-6)
    assert set(figures) - set(logged) == set()
    return figures


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("bnpo", "dppo")])
def test_micro_batches_of_equal_size(name: Any, scored: Scored, model: Any, trl_trainer: Callable[..., Any]) -> None:
    """Four micro-batches of two completions, of different lengths: one update in both."""
    batch = batch_of(scored)
    config = TrainConfig(loss_type=name, max_completion_length=LIMIT)
    totals = update_totals(batch, 0, batch.size, max_completion_length=LIMIT)
    options = {"cispo": {"epsilon_high": 5.0}, "luspo": {"importance_sampling_level": "sequence"}}.get(name, {})
    mine, trainer = LlamaPolicy(copy.deepcopy(model)), trl_trainer(loss_type=name, micro_batches=4, **options)
    for start in range(0, batch.size, 2):
        rows = batch.rows(start, start + 2)
        blank = torch.zeros(rows.completion_mask.shape)
        torch.autograd.backward(micro_batch_loss(mine, rows, totals, config)[0].loss)
        torch.autograd.backward(trainer._compute_loss(trainer.model, trl_inputs(rows, None, blank, totals.tokens)))
    expected = gradients(trainer.model)
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, expected[parameter], rtol=1e-3, atol=2e-6, msg=parameter)


def test_dapo_divides_two_updates_of_one_sampling_by_what_they_have_in_common(
    scored: Scored, model: Any, trl_trainer: Callable[..., Any]
) -> None:
    batch = batch_of(scored)
    config = TrainConfig(loss_type="dapo", max_completion_length=LIMIT)
    trainer = trl_trainer(loss_type="dapo", micro_batches=2, steps_per_generation=4)
    policy = LlamaPolicy(model)
    for start in (0, 4):
        rows = batch.rows(start, start + 4)
        totals = update_totals(batch, start, start + 4, max_completion_length=LIMIT)
        assert totals == UpdateTotals(4, sum(LENGTHS[start // 4]), 18.5, LIMIT)
        with torch.no_grad():
            mine = micro_batch_loss(policy, rows, totals, config)[0].loss
            blank = torch.zeros(rows.completion_mask.shape)
            theirs = trainer._compute_loss(trainer.model, trl_inputs(rows, None, blank, sum(map(sum, LENGTHS))))
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)

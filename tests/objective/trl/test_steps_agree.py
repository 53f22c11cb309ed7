"""What comes before the loss through TRL's own trainer: its batches, its advantages, its weights for the engine."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.beside_trl import BESIDE_TRL, LlamaPolicy
from support.trl_grpo import (
    COMPONENTS,
    LIMIT,
    away_from,
    batch_of,
    gradients,
    raw_values,
)

from lydite.config import TrainConfig
from lydite.objective import (
    CorrectionSettings,
    Drawn,
    build_batch,
    importance_weights,
    micro_batch_loss,
    policy_logps,
    sampling_figures,
    update_totals,
    with_advantages,
)
from lydite.types import Scored

pytestmark = BESIDE_TRL


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("scale", "aggregate"),
    [
        ("group", "sum_then_normalize"),
        ("batch", "sum_then_normalize"),
        ("none", "sum_then_normalize"),
        ("group", "normalize_then_sum"),
    ],
)
def test_batch_and_advantages(
    scale: Any,
    aggregate: Any,
    masked: bool,
    scored: Scored,
    trl_trainer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRL's own scoring of the same completions and rewards."""
    trainer = trl_trainer(
        rewards=COMPONENTS,
        reward_weights=[part.weight for part in scored.groups[0].completions[0].components.values()],
        scale_rewards=scale,
        multi_objective_aggregation=aggregate,
        mask_truncated_completions=masked,
    )
    pairs = [(group.prompt, one) for group in scored.groups for one in group.completions]
    prompts = [list(prompt.token_ids) for prompt, _ in pairs]
    completions = [list(one.generated.token_ids) for _, one in pairs]
    generated: tuple[Any, ...] = (prompts, completions, None, [""] * len(pairs), None, {}, None, None)
    monkeypatch.setattr(trainer, "_generate", lambda prompts: generated)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *given: raw_values(scored))
    theirs = trainer._generate_and_score_completions([{"prompt": "w5"}] * len(pairs))

    filled = with_advantages(scored, scale=scale, aggregate=aggregate)
    batch = build_batch(filled, pad_token_id=0, device="cpu", mask_truncated_completions=masked)
    torch.testing.assert_close(batch.advantages, theirs["advantages"], rtol=1e-4, atol=1e-5)
    assert batch.advantages[1].item() == 0.0
    assert batch.advantages.abs().max() > 0.3
    assert torch.equal(batch.completion_ids, theirs["completion_ids"])
    assert torch.equal(batch.completion_mask.long(), theirs["completion_mask"])
    assert torch.equal(batch.input_ids, torch.cat([theirs["prompt_ids"], theirs["completion_ids"]], dim=1))
    assert torch.equal(batch.attention_mask, torch.cat([theirs["prompt_mask"], theirs["completion_mask"]], dim=1))
    assert int(batch.completion_mask.sum()) == int(theirs["num_items_in_batch"])


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("limits", [(None, 3.0), (0.8, 1.25), (0.9, None)], ids=["as it is", "narrow", "from below"])
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("dapo", mode) for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")),
        ("vespo", "token_truncate"),
    ],
)
def test_weights_loss_and_figures_where_the_engine_is_off(
    name: Any,
    mode: Any,
    limits: tuple[float | None, float | None],
    beta: float,
    scored: Scored,
    model: Any,
    trl_trainer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRL's own step on completions whose engine, one token of which it cannot tell, is not quite the trainer."""
    plain = batch_of(scored)
    low, high = limits
    options = {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_min": low}
    most = 1e9 if high is None else high
    config = TrainConfig(
        loss_type=name, beta=beta, max_completion_length=LIMIT, vllm_importance_sampling_clip_max=most, **options
    )
    totals = update_totals(plain, 0, plain.size, max_completion_length=LIMIT)
    mine = LlamaPolicy(copy.deepcopy(model))
    old = policy_logps(mine, plain, config).logps.detach()
    sampler = away_from(old, plain.completion_mask, seed=5)
    sampler[1, 2] = math.nan
    ref = away_from(old, plain.completion_mask, seed=6)
    batch = dataclasses.replace(plain, sampler_logps=sampler)
    output, _ = micro_batch_loss(mine, batch, totals, config, ref_logps=ref)
    torch.autograd.backward(output.loss)

    trainer = trl_trainer(loss_type=name, beta=beta, vllm_importance_sampling_clip_max=high, **options)
    trainer.use_vllm = True  # after the constructor, which would start it
    pairs = [(group.prompt, one) for group in scored.groups for one in group.completions]
    prompts = [list(prompt.token_ids) for prompt, _ in pairs]
    completions = [list(one.generated.token_ids) for _, one in pairs]
    said = [row[: len(ids)] for row, ids in zip(sampler.tolist(), completions, strict=True)]
    generated: tuple[Any, ...] = (prompts, completions, None, [""] * len(pairs), said, {}, None, None)
    monkeypatch.setattr(trainer, "_generate", lambda prompts: generated)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *given: torch.zeros(len(pairs), 1))
    trainer.beta = 0.0  # its reference would be another forward; what follows has the same one as above
    inputs = trainer._generate_and_score_completions([{"prompt": "w5"}] * len(pairs))
    trainer.beta = beta
    inputs = {**inputs, "advantages": batch.advantages, "ref_per_token_logps": ref}
    theirs = trainer._compute_loss(trainer.model, inputs)
    torch.autograd.backward(theirs)

    settings = CorrectionSettings.of(config)
    assert settings is not None
    weights = importance_weights(old, sampler, batch.completion_mask, settings)
    expected = torch.where(batch.completion_mask, inputs["importance_sampling_ratio"], 0.0)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(weights, batch.completion_mask.float())
    # A ratio of a completion has the rounding of all its tokens, and large terms of the loss cancel.
    torch.testing.assert_close(output.loss, theirs, rtol=1e-3 if name == "vespo" else 1e-4, atol=1e-6)
    of_theirs = gradients(trainer.model)
    assert max(gradient.abs().max() for gradient in of_theirs.values()) > 1e-2
    for parameter, gradient in gradients(mine.model).items():
        torch.testing.assert_close(gradient, of_theirs[parameter], rtol=1e-3, atol=1e-5, msg=parameter)

    figures = sampling_figures([Drawn(old, sampler, batch.completion_mask)], settings)
    logged = {key: values[-1] for key, values in trainer._metrics["train"].items() if key.startswith("sampling/")}
    assert {name: figures[name] for name in logged} == pytest.approx(logged, rel=1e-4, abs=1e-6)
    assert set(figures) - set(logged) == {"sampling/k3", "sampling/ess"}

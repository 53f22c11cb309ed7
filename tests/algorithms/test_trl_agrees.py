"""RLOO and Online DPO beside TRL's own trainers: advantages with the KL penalty in them, losses, gradients, figures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.beside_trl import BESIDE_TRL, LlamaPolicy, llama, words_tokenizer

from lydite.algorithms.online_dpo import OnlineDpo
from lydite.algorithms.protocol import merge_shares
from lydite.algorithms.rloo import Rloo, sequence_loss
from lydite.config import RunConfig
from lydite.objective import build_batch, merge_metrics, policy_logps, update_totals
from lydite.types import Scored

LIMIT, GROUP = 9, 4
LENGTHS = [[3, 7, 1, 5], [9, 2, 4, 6]]
REWARDS = [[0.25, 1.5, None, -1.0], [0.0, 2.0, 0.5, 0.75]]

pytestmark = BESIDE_TRL


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    return llama(0, spread=0.2), llama(1, spread=0.2)


@pytest.fixture
def trl_step(models: tuple[Any, Any], tmp_path: Any) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """TRL's trainer on a copy of the model, and what it makes of a step's completions and rewards."""
    from datasets import Dataset
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer, add_fused_lm_head

    def zero(completions: list[str], **columns: Any) -> list[float]:
        return [0.0] * len(completions)

    def make(step: Scored, **options: Any) -> tuple[Any, dict[str, Any]]:
        trainer = RLOOTrainer(
            model=copy.deepcopy(models[0]), reward_funcs=zero,
            args=RLOOConfig(
                output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=8,
                num_generations=GROUP, max_completion_length=LIMIT, beta=0.0, **options,
            ),
            train_dataset=Dataset.from_dict({"prompt": ["w5"] * 8}), processing_class=words_tokenizer(),
        )  # fmt: skip
        # After the constructor, which would look for a reference on the hub.
        trainer.beta, trainer.ref_model = 0.05, copy.deepcopy(models[1])
        add_fused_lm_head(trainer.ref_model)
        trainer.model.train()
        made = [(group.prompt, one) for group in step.groups for one in group.completions]
        rewards = torch.tensor([[math.nan if one.reward is None else one.reward] for _, one in made])
        trainer._generate = lambda prompts: (
            [list(prompt.token_ids) for prompt, _ in made],
            [list(one.generated.token_ids) for _, one in made],
            [""] * len(made),
        )
        trainer._calculate_rewards = lambda *_: rewards
        return trainer, trainer._generate_and_score_completions([{"prompt": "w5"}] * len(made))

    return make


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "normalised": {"normalize_advantages": True},
    "clipped": {"reward_clip_range": (-0.5, 1.0)},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_a_step_is_trls(
    case: str, scored: Callable[..., Scored], models: tuple[Any, Any], trl_step: Callable[..., Any]
) -> None:
    step = scored(LENGTHS, REWARDS)
    config = RunConfig.model_validate(
        {
            "model": {"path": "m"}, "data": {"use": "d"}, "rewards": {"a": {"use": "b"}}, "algorithm": "rloo",
            "rloo": OPTIONS[case],
            "train": {"num_generations": GROUP, "per_device_train_batch_size": 8, "max_completion_length": LIMIT},
        }
    )  # fmt: skip
    policy: Any = LlamaPolicy(copy.deepcopy(models[0]), models[1])
    algorithm = Rloo(policy, config)
    batch = build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    loss = algorithm.begin(step, algorithm.material(step, batch), [[(0, 3), (3, 8)]])
    loss.gather()
    totals = update_totals(batch, 0, 8, max_completion_length=LIMIT)
    parts = [loss.micro_batch(span, totals) for span in ((0, 3), (3, 8))]
    torch.autograd.backward([part.loss for part in parts])

    trainer, inputs = trl_step(step, **OPTIONS[case])
    torch.testing.assert_close(loss.batch.advantages, inputs["advantages"], rtol=1e-4, atol=1e-5)
    assert loss.batch.advantages[2] == 0.0
    theirs = trainer._compute_loss(trainer.model, inputs)
    torch.autograd.backward(theirs)
    torch.testing.assert_close(sum(part.loss for part in parts), theirs, rtol=1e-4, atol=1e-5)
    for (name, mine), (_, other) in zip(policy.model.named_parameters(), trainer.model.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    figures = {**merge_metrics([part.metrics for part in parts if part.metrics is not None]), **loss.figures()}
    of_completions = figures["kl"] * sum(map(sum, LENGTHS)) / 8  # TRL has the mean of tokens alone
    assert figures.pop("objective/kl") == pytest.approx(of_completions)
    assert figures.pop("objective/non_score_reward") == pytest.approx(-0.05 * of_completions)
    assert figures == pytest.approx({name: logged[name] for name in figures}, rel=1e-3, abs=1e-5)
    assert figures["kl"] != 0.0


def test_the_ratio_of_a_later_update_is_clipped_as_trl_does(
    scored: Callable[..., Scored], models: tuple[Any, Any], trl_step: Callable[..., Any]
) -> None:
    step = scored(LENGTHS, REWARDS)
    trainer, inputs = trl_step(step, epsilon=0.1, epsilon_high=0.3)
    away = torch.randn(8, generator=torch.Generator().manual_seed(5)) * 0.3
    inputs["old_logps"] = inputs["old_logps"] + away
    batch = build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    config = RunConfig.model_validate({"model": {"path": "m"}, "data": {"use": "d"}, "rewards": {"a": {"use": "b"}}})
    policy: Any = LlamaPolicy(copy.deepcopy(models[0]), models[1])
    logps = policy_logps(policy, batch, config.train).logps
    old = logps.detach().clone()
    old[:, 0] += away
    found = sequence_loss(logps, old, inputs["advantages"], batch.completion_mask, epsilon=0.1, epsilon_high=0.3)
    torch.autograd.backward(found.losses.mean())
    theirs = trainer._compute_loss(trainer.model, inputs)
    torch.autograd.backward(theirs)
    torch.testing.assert_close(found.losses.mean(), theirs, rtol=1e-4, atol=1e-5)
    for mine, other in zip(policy.model.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5)
    clipped = (found.low | found.high).float().mean()
    assert float(clipped) == pytest.approx(trainer._metrics["train"]["clip_ratio/region_mean"][-1])
    assert clipped > 0


def test_weights_scale_each_tokens_gradient_and_not_the_ratio() -> None:
    logps = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    mask, old = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[-1.1, -1.9]])
    weights = torch.tensor([[0.5, 3.0]])
    found = sequence_loss(logps, old, torch.tensor([2.0]), mask, epsilon=0.5, importance_weights=weights)
    torch.autograd.backward(found.losses.sum())
    assert found.losses.tolist() == pytest.approx([-2.0])
    assert logps.grad is not None
    assert logps.grad.tolist() == [pytest.approx([-1.0, -6.0])]


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_a_step_of_pairs_is_trls(
    loss_type: str, scored: Callable[..., Scored], models: tuple[Any, Any], tmp_path: Any
) -> None:
    from datasets import Dataset
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    rewards = [[0.5, 1.5], [2.0, -1.0], [0.0, 0.25], [1.0, 0.5]]
    step = scored([[3, 7], [9, 2], [1, 5], [4, 4]], rewards)
    config = RunConfig.model_validate(
        {
            "model": {"path": "m"}, "data": {"use": "d"}, "rewards": {"a": {"use": "b"}}, "algorithm": "online_dpo",
            "online_dpo": {"loss_type": loss_type, "beta": 0.3},
            "train": {"num_generations": 2, "per_device_train_batch_size": 8, "max_completion_length": LIMIT},
        }
    )  # fmt: skip
    policy: Any = LlamaPolicy(copy.deepcopy(models[0]), models[1])
    algorithm = OnlineDpo(policy, config)
    batch = build_batch(step, pad_token_id=0, device="cpu", mask_truncated_completions=False)
    material = algorithm.material(step, batch)
    assert material.rows == (1, 0, 2, 3, 5, 4, 6, 7)
    loss = algorithm.begin(step, material, [[(0, 2), (2, 8)]])
    loss.gather()
    totals = update_totals(material.batch, 0, 8, max_completion_length=LIMIT)
    parts = [loss.micro_batch(span, totals) for span in ((0, 2), (2, 8))]
    torch.autograd.backward([part.loss for part in parts])

    trainer = OnlineDPOTrainer(
        model=copy.deepcopy(models[0]), ref_model=copy.deepcopy(models[1]), reward_funcs=lambda **_: [0.0],
        args=OnlineDPOConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=4,
            max_new_tokens=LIMIT, beta=[0.3], loss_type=loss_type, gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["w5"] * 4}), processing_class=words_tokenizer(),
    )  # fmt: skip
    halves = batch.take([0, 2, 4, 6, 1, 3, 5, 7])
    width = batch.input_ids.shape[1] - batch.completion_ids.shape[1]
    made = (
        halves.input_ids[:, :width], halves.attention_mask[:, :width], halves.completion_ids,
        halves.completion_mask.long(), None,
    )  # fmt: skip
    setattr(trainer, "_generate", lambda *_: made)  # noqa: B010
    paid = torch.tensor(rewards).T.reshape(-1)
    setattr(trainer, "_calculate_rewards_from_functions", lambda **_: paid)  # noqa: B010
    theirs = trainer.training_step(trainer.model, {"prompt": ["w5"] * 4})
    torch.testing.assert_close(torch.stack([part.loss.detach() for part in parts]).sum(), theirs, rtol=1e-4, atol=1e-5)
    for (name, mine), (_, other) in zip(policy.model.named_parameters(), trainer.model.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)
    figures = merge_shares(parts)
    shared = [name for name in trainer.stats if name.startswith(("rewards/", "logps/"))]
    assert {name: figures[name] for name in shared} == pytest.approx(
        {name: trainer.stats[name][-1] for name in shared}, rel=1e-3, abs=1e-5
    )
    assert len(shared) == 6

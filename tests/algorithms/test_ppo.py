"""PPO's numbers beside plain ones: rewards of tokens, the value's loss, and the loss as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.shaken import shake

import lydite
from lydite.algorithms.ppo import Ppo
from lydite.algorithms.ppo_targets import ppo_targets, value_loss
from lydite.config import PpoConfig, RunConfig
from lydite.objective import build_batch, policy_logps, reference_logps, update_totals
from lydite.types import Scored

MASK = torch.tensor([[True, False, True, True], [True, True, False, False], [True, True, True, False]])
REWARDS = [2.0, None, -1.0]
PLAIN = PpoConfig(lam=1.0)


def test_the_reward_comes_with_the_last_token_and_each_token_pays_its_penalty() -> None:
    kl = torch.tensor([[1.0, 9.0, 2.0, 3.0], [1.0, 1.0, 0.0, 0.0], [0.0, 4.0, 0.0, 9.0]])
    found = ppo_targets(REWARDS, torch.zeros(3, 4), MASK, PpoConfig(lam=1.0, kl_coef=0.1), kl=kl)
    expected = [[2 - 0.6, 0.0, 2 - 0.5, 2 - 0.3], [0.0] * 4, [-1 - 0.4, -1 - 0.4, -1.0, 0.0]]
    torch.testing.assert_close(found.returns, torch.tensor(expected))
    assert found.judged.tolist() == [MASK[0].tolist(), [False] * 4, MASK[2].tolist()]
    assert found.figures == pytest.approx(
        {
            "kl": (6 + 4) / 6,
            "objective/kl": (6 + 4) / 2,
            "objective/non_score_reward": -0.5,
            "objective/rlhf_reward": 0.5 - 0.5,
        }
    )


def test_advantages_are_whitened_over_what_could_be_judged() -> None:
    found = ppo_targets(REWARDS, torch.full((3, 4), 0.25), MASK, PLAIN, kl=None)
    judged = found.advantages[found.judged]
    assert float(judged.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(judged.std()) == pytest.approx(1.0, abs=1e-4)
    assert not found.advantages[~found.judged].any()


def test_whitened_rewards_keep_their_mean() -> None:
    found = ppo_targets(REWARDS, torch.zeros(3, 4), MASK, PpoConfig(lam=1.0, whiten_rewards=True), kl=None)
    rewards = torch.tensor([0.0, 0.0, 2.0, 0.0, 0.0, -1.0])
    first, second, third, *rest = ((rewards - rewards.mean()) / rewards.std() + rewards.mean()).tolist()
    returns = [first + second + third, second + third, third, sum(rest), rest[1] + rest[2], rest[2]]
    assert found.returns[found.judged].tolist() == pytest.approx(returns, abs=1e-4)


numbers = st.lists(st.floats(-2, 2), min_size=4, max_size=4)


@given(numbers, numbers, numbers, st.floats(0.05, 1))
def test_the_value_loss_is_trls(values: list[float], old: list[float], returns: list[float], cliprange: float) -> None:
    mask = torch.tensor([[True, True, True, False]])
    vpred, mb_values, mb_return = (torch.tensor([one]) for one in (values, old, returns))
    vpredclipped = torch.clamp(vpred, mb_values - cliprange, mb_values + cliprange)
    vf_loss_max = torch.max(torch.square(vpred - mb_return), torch.square(vpredclipped - mb_return))
    found = value_loss(vpred, mb_values, mb_return, mask, cliprange)
    torch.testing.assert_close(found.losses.sum() / 3, 0.5 * vf_loss_max[mask].mean())
    assert not found.clipped[0, 3]


def test_the_loss_is_the_papers(settings: dict[str, Any], scored: Callable[..., Scored]) -> None:
    step = scored([[3, 7, 1, 4], [6, 2, 2, 5]], [[0.0, 1.0, 0.5, None], [1.0, 0.25, 0.0, 1.0]])
    config = RunConfig.model_validate(
        {**settings, "algorithm": "ppo", "ppo": {"kl_coef": 0.2, "cliprange_value": 0.01}}
    )
    policy = lydite.load_policy(config)
    shake(policy, 1, 0.05)  # so that the reference is another
    algorithm = Ppo(policy, config)
    head = algorithm.parameters()
    with torch.no_grad():
        head["value_head.weight"].normal_(generator=torch.Generator().manual_seed(2))
    batch = build_batch(step, pad_token_id=policy.pad_token_id, device="cpu", mask_truncated_completions=False)
    old, values = policy_logps(policy, batch, config.train).logps.detach(), plain_values(policy, batch, head).detach()
    kl = torch.where(batch.completion_mask, old - reference_logps(policy, batch, config.train), 0.0)
    assert float(kl.abs().max()) > 0.01
    loss = algorithm.begin(step, algorithm.material(step, batch), [[(0, 8)]])
    loss.gather()
    shake(policy, 3, 0.2)  # so that ratios are clipped
    with torch.no_grad():
        head["value_head.weight"] += 0.1
    totals = update_totals(batch, 0, 8, max_completion_length=8)
    found = loss.micro_batch((0, 8), totals)

    rewards = [one.reward for group in step.groups for one in group.completions]
    targets = ppo_targets(rewards, values, batch.completion_mask, config.ppo or PpoConfig(), kl=kl)
    ratio = (policy_logps(policy, batch, config.train).logps - old).exp()
    mask = batch.completion_mask
    surrogate = torch.maximum(-targets.advantages * ratio, -targets.advantages * ratio.clamp(0.8, 1.2))[mask].mean()
    now = plain_values(policy, batch, head)
    clipped = torch.clamp(now, values - 0.01, values + 0.01)
    errors = torch.maximum((now - targets.returns) ** 2, (clipped - targets.returns) ** 2)[targets.judged]
    expected = surrogate + 0.1 * 0.5 * errors.sum() / mask.sum()
    torch.testing.assert_close(found.loss, expected, rtol=1e-4, atol=1e-6)
    assert ((ratio - 1).abs() > 0.2)[mask].any()


def plain_values(policy: Any, batch: Any, head: Any) -> torch.Tensor:
    """Values [B, T] from the padded pass: the state before each token, as a direction."""
    states = policy.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids)
    before = states[:, -batch.completion_ids.shape[1] - 1 : -1]
    unit = before / before.norm(dim=-1, keepdim=True)
    values: torch.Tensor = torch.where(
        batch.completion_mask, unit @ head["value_head.weight"] + head["value_head.bias"], 0.0
    )
    return values

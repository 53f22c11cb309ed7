"""PPO behind a completion that the limit cut off: nothing, or the value of the state in which it was left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.shaken import shake

import lydite
from lydite.algorithms.ppo import Ppo
from lydite.algorithms.ppo_targets import ppo_targets
from lydite.config import PpoConfig, RunConfig
from lydite.objective import Batch, build_batch
from lydite.objective.left_states import left_states
from lydite.types import Scored

LENGTHS = [[3, 9, 1, 4], [7, 2, 2, 8]]
REWARDS = [[0.0, 1.0, 0.5, None], [1.0, 0.25, 0.0, 1.0]]
CUT = [(0, 1), (0, 2), (1, 3)]
ROWS = [1, 2, 7]


def batch_of(step: Scored, policy: Any) -> Batch:
    return build_batch(step, pad_token_id=policy.pad_token_id, device="cpu", mask_truncated_completions=False)


def test_the_return_goes_on_with_the_value_behind_the_last_token() -> None:
    mask = torch.tensor([[True, False, True], [True, True, False]])
    found = ppo_targets(
        [1.0, 2.0], torch.zeros(2, 3), mask, PpoConfig(gamma=0.5, lam=1.0), kl=None, tails=torch.tensor([4.0, 0.0])
    )
    assert found.returns.tolist() == [[0.5 * (1 + 2), 0.0, 1 + 2], [1.0, 2.0, 0.0]]


@pytest.mark.parametrize("packed", [True, False])
def test_the_state_behind_a_completion_is_that_of_a_pass_over_it_alone(
    settings: dict[str, Any], scored: Callable[..., Scored], packed: bool
) -> None:
    config = RunConfig.model_validate({**settings, "train": {**settings["train"], "share_prompts": packed}})
    policy = lydite.load_policy(config)
    shake(policy, 1, 0.1)
    batch = batch_of(scored(LENGTHS, REWARDS), policy)
    holes = batch.completion_mask.clone()
    holes[1, 3:5] = False  # an environment spoke there
    batch = replace(batch, completion_mask=holes, sizes=None)
    found = left_states(policy, batch, config.train, [row in ROWS for row in range(8)])
    assert found.cut.tolist() == [row in ROWS for row in range(8)]
    for state, row in zip(found.states, ROWS, strict=True):
        ids = batch.input_ids[row][batch.attention_mask[row].bool()][None]
        alone = policy.hidden_states(ids, torch.ones_like(ids), torch.arange(ids.shape[1])[None])
        torch.testing.assert_close(state, alone[0, -1], rtol=1e-4, atol=1e-5)


def test_a_completion_without_tokens_was_left_nowhere(settings: dict[str, Any], scored: Callable[..., Scored]) -> None:
    config = RunConfig.model_validate(settings)
    policy = lydite.load_policy(config)
    batch = batch_of(scored([[3, 0]], [[1.0, 0.0]]), policy)
    found = left_states(policy, batch, config.train, [False, True])
    assert found.cut.tolist() == [False, False]
    assert found.states.shape == (0, 32)


@pytest.mark.parametrize("bootstrap", [True, False])
def test_only_what_was_cut_off_is_bootstrapped(
    settings: dict[str, Any], scored: Callable[..., Scored], bootstrap: bool
) -> None:
    own = {"kl_coef": 0.0, "lam": 0.9, "gamma": 0.8, "bootstrap_truncated": bootstrap}
    config = RunConfig.model_validate({**settings, "algorithm": "ppo", "ppo": own})
    policy = lydite.load_policy(config)
    shake(policy, 1, 0.1)
    algorithm = Ppo(policy, config)
    head = algorithm.parameters()
    with torch.no_grad():
        head["value_head.weight"].normal_(generator=torch.Generator().manual_seed(2))
    step = scored(LENGTHS, REWARDS, truncated=CUT)
    batch = batch_of(step, policy)
    loss: Any = algorithm.begin(step, algorithm.material(step, batch), [[(0, 3), (3, 8)]])
    loss.gather()

    states = policy.hidden_states(batch.input_ids, batch.attention_mask, batch.position_ids)
    values = (states / states.norm(dim=-1, keepdim=True)) @ head["value_head.weight"] + head["value_head.bias"]
    width = batch.input_ids.shape[1] - batch.completion_ids.shape[1]
    rewards = [one.reward for group in step.groups for one in group.completions]
    for row, reward in enumerate(rewards):
        length = [length for group in LENGTHS for length in group][row]
        found = loss._targets.returns[row, :length].tolist()
        if reward is None:
            assert found == [0.0] * length
            continue
        own_values = values[row, width - 1 : width - 1 + length].tolist()
        later = values[row, width - 1 + length].item() if bootstrap and row in ROWS else 0.0
        advantage, returns = 0.0, []
        for t in reversed(range(length)):
            delta = (reward if t == length - 1 else 0.0) + 0.8 * later - own_values[t]
            advantage = delta + 0.8 * 0.9 * advantage
            later = own_values[t]
            returns.append(advantage + own_values[t])
        assert found == pytest.approx(returns[::-1], abs=1e-4)


def test_log_probabilities_have_the_rounding_that_they_have_in_the_updates(
    learn: Callable[..., Any], scored: Callable[..., Scored], settings: dict[str, Any]
) -> None:
    own, model = {"bootstrap_truncated": True}, {**settings["model"], "dtype": "bfloat16"}
    figures, _, _ = learn(scored(LENGTHS, REWARDS, CUT), algorithm="ppo", ppo=own, model=model)
    assert figures["kl"] == 0.0  # exactly: the policy is its own reference yet

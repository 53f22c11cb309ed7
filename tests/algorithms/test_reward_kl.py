"""KL in GRPO's reward: what a completion pays for its distance from the reference, before advantages are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scored_steps import scored_step
from support.shaken import shake

import lydite
from lydite.algorithms.grpo import Grpo, advantages_after_kl
from lydite.algorithms.reward_kl import penalised_rewards
from lydite.config import RunConfig, TrainConfig
from lydite.objective import (
    build_batch,
    configured_advantages,
    micro_batch_loss,
    policy_logps,
    reference_logps,
    update_totals,
)
from lydite.types import Scored

LENGTHS = [[3, 9, 1, 4], [7, 2, 2, 8]]
REWARDS = [[0.0, 1.0, 0.5, 0.25], [1.0, None, 0.0, 1.0]]
IN_REWARD: dict[str, Any] = {"beta": 0.3, "use_kl_in_reward": True}
Started = Callable[..., tuple[Any, Any, RunConfig, Any]]


@pytest.fixture
def started(settings: dict[str, Any], scored: Callable[..., Scored]) -> Started:
    """A step's losses, its batch, the configuration, and a policy that is not its reference any more."""

    def one(rewards: Any = REWARDS, **train: Any) -> Any:
        config = RunConfig.model_validate({**settings, "train": {**settings["train"], **IN_REWARD, **train}})
        policy = lydite.load_policy(config)
        shake(policy, 1, 0.05)
        step = scored(LENGTHS, rewards)
        batch = build_batch(step, pad_token_id=policy.pad_token_id, device="cpu", mask_truncated_completions=False)
        algorithm = Grpo(policy, config)
        loss = algorithm.begin(step, algorithm.material(step, batch), [[(0, 5), (5, 8)]])
        loss.gather()
        return loss, batch, config, policy

    return one


def plain_kl(policy: Any, batch: Any, config: RunConfig) -> list[float]:
    """The sum over each completion's tokens, one by one."""
    own, reference = policy_logps(policy, batch, config.train).logps, reference_logps(policy, batch, config.train)
    sums = []
    for row in range(batch.size):
        total = 0.0
        for t in range(batch.completion_mask.shape[1]):
            if batch.completion_mask[row, t]:
                d = float(own[row, t].detach() - reference[row, t])
                total += {"k1": d, "k2": d * d / 2, "k3": float(torch.tensor(-d).exp()) - 1 + d}[
                    config.train.kl_estimator
                ]
        sums.append(total)
    return sums


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("scale", ["group", "none"])
def test_the_advantage_is_that_of_the_reward_less_beta_times_the_kl(
    started: Started, estimator: str, scale: str
) -> None:
    loss, batch, config, policy = started(kl_estimator=estimator, scale_rewards=scale)
    kl = plain_kl(policy, batch, config)
    assert max(map(abs, kl)) > 0.01
    flat = [reward for group in REWARDS for reward in group]
    paid = [None if reward is None else reward - 0.3 * one for reward, one in zip(flat, kl, strict=True)]
    expected: list[float] = []
    for group in (paid[:4], paid[4:]):
        known = [one for one in group if one is not None]
        divisor = stdev(known) + 1e-4 if scale == "group" else 1.0
        expected += [0.0 if one is None else (one - mean(known)) / divisor for one in group]
    assert loss.batch.advantages.tolist() == pytest.approx(expected, abs=1e-4)
    tokens = sum(map(sum, LENGTHS))
    assert loss.figures() == pytest.approx(
        {"kl": sum(kl) / tokens, "objective/kl": sum(kl) / 8, "objective/non_score_reward": -0.3 * sum(kl) / 8},
        abs=1e-5,
    )


def test_the_loss_has_no_kl_term_and_no_gradient_of_one(started: Started) -> None:
    loss, _, config, policy = started()
    totals = update_totals(loss.batch, 0, 8, max_completion_length=9)
    paid = loss.micro_batch((0, 5), totals)
    off = config.train.model_copy(update={"beta": 0.0, "use_kl_in_reward": False})
    plain, _ = micro_batch_loss(policy, loss.batch.rows(0, 5), totals, off)
    torch.testing.assert_close(paid.loss, plain.loss)
    ours, theirs = (
        torch.autograd.grad(one, list(policy.trainable().values()), retain_graph=True)
        for one in (paid.loss, plain.loss)
    )
    torch.testing.assert_close(ours, theirs)
    assert paid.metrics.kl is None


def test_the_default_estimator_is_that_of_a_reward() -> None:
    assert TrainConfig(**IN_REWARD).kl_estimator == "k1"
    assert TrainConfig(beta=0.1).kl_estimator == "k3"
    assert TrainConfig(**IN_REWARD).loss_beta == 0.0
    assert TrainConfig(beta=0.1).loss_beta == 0.1


numbers = st.floats(-3, 3)
groups = st.lists(st.lists(st.none() | numbers, min_size=4, max_size=4), min_size=1, max_size=4)
estimators = st.sampled_from(
    [
        {"advantage_estimator": "group", "scale_rewards": "group"},
        {"advantage_estimator": "group", "scale_rewards": "batch"},
        {"advantage_estimator": "group", "scale_rewards": "none"},
        {"advantage_estimator": "leave_one_out"},
        {"advantage_estimator": "reinforce_plus_plus"},
        {"advantage_estimator": "reinforce_plus_plus_baseline"},
    ]
)


def advantages(rewards: list[list[float | None]], kl: list[float], chosen: Mapping[str, Any]) -> list[float]:
    return advantages_after_kl(scored_step(rewards), kl, TrainConfig(**IN_REWARD, num_generations=4, **chosen))


@given(groups, estimators)
def test_who_pays_nothing_has_the_advantage_of_the_reward(
    rewards: list[list[float | None]], chosen: dict[str, Any]
) -> None:
    found = advantages(rewards, [0.0] * 4 * len(rewards), chosen)
    plain = configured_advantages(rewards, TrainConfig(num_generations=4, **chosen))
    assert found == [one for group in plain for one in group]


@given(groups, st.data(), estimators)
def test_what_all_of_a_group_pay_changes_nothing(
    rewards: list[list[float | None]], data: st.DataObject, chosen: dict[str, Any]
) -> None:
    of_groups = [data.draw(numbers) for _ in rewards]
    if chosen["advantage_estimator"] == "reinforce_plus_plus":  # measured against the step
        of_groups = of_groups[:1] * len(rewards)
    if chosen.get("scale_rewards") == "batch" or chosen["advantage_estimator"] == "reinforce_plus_plus_baseline":
        of_groups = of_groups[:1] * len(rewards)  # the deviation is the step's
    found = advantages(rewards, [one for one in of_groups for _ in range(4)], chosen)
    assert found == pytest.approx(advantages(rewards, [0.0] * 4 * len(rewards), chosen), abs=1e-6)


@given(groups, st.data())
def test_more_kl_is_never_a_better_advantage(rewards: list[list[float | None]], data: st.DataObject) -> None:
    kl = [data.draw(numbers) for _ in range(4 * len(rewards))]
    place = data.draw(st.integers(0, len(kl) - 1))
    chosen = {"advantage_estimator": "group", "scale_rewards": "none"}
    before = advantages(rewards, kl, chosen)
    kl[place] += 1.0
    assert advantages(rewards, kl, chosen)[place] <= before[place] + 1e-9


def test_each_completion_pays_its_own() -> None:
    assert penalised_rewards([[1.0, None], [0.5]], [1.0, 2.0, 3.0], 0.1) == [[0.9, None], [pytest.approx(0.2)]]
    with pytest.raises(ValueError, match="3 completions have a KL each, got 2"):
        penalised_rewards([[1.0, None], [0.5]], [1.0, 2.0], 0.1)

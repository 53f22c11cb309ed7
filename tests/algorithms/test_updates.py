"""A step's updates under each algorithm: the same however they are cut, exact after a resume, and told truthfully."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.algorithm_runs import KL_IN_REWARD, RUNS

import lydite
from lydite.errors import CheckpointError
from lydite.learner import Learner
from lydite.policy import Policy
from lydite.types import Scored

NAMES = ("rloo", "online_dpo", "ppo")
LENGTHS = [[3, 9, 1, 4], [7, 2, 2, 8]]
REWARDS = [[0.0, 1.0, 0.5, 0.25], [1.0, None, 0.0, 1.0]]
Learn = Callable[..., tuple[dict[str, float], Policy, Learner]]


@pytest.mark.parametrize("name", RUNS)
def test_the_cut_of_an_update_changes_no_number(learn: Learn, scored: Callable[..., Scored], name: str) -> None:
    step = scored(LENGTHS, REWARDS, [(0, 1), (1, 3)], sampler=lambda n: tuple(-3.0 + 0.1 * t for t in range(n)))
    tables, keys = RUNS[name]
    train = {"num_iterations": 2, **keys}
    expected, plain, beside = learn(step, train, shaken=0.05, **tables)
    assert abs(expected["kl"]) > 0.01
    for cut in (
        {"micro_batch_tokens": 12},
        {"micro_batch_tokens": 1},
        {"share_prompts": False, "micro_batch_tokens": 30},
    ):
        figures, policy, learner = learn(step, {**train, **cut}, shaken=0.05, **tables)
        assert figures == pytest.approx(expected, rel=1e-4, abs=1e-5)
        for given, ours in policy.trainable().items():
            torch.testing.assert_close(ours, plain.trainable()[given], rtol=1e-4, atol=2e-5)
        for given, ours in learner.algorithm.parameters().items():
            torch.testing.assert_close(ours, beside.algorithm.parameters()[given], rtol=1e-4, atol=2e-5)
    assert bool(beside.algorithm.parameters()) is name.startswith("ppo")


@pytest.mark.parametrize("name", [*NAMES, "grpo"])
def test_a_resumed_run_is_the_run_that_was_never_stopped(settings: dict[str, Any], tmp_path: Path, name: str) -> None:
    reward = {"paid": lydite.reward(isolation="inline")(lambda completion: float(len(completion.text) % 5))}
    train = {**settings["train"], "num_iterations": 2, "save_steps": 2, "save_total_limit": 9}
    train |= KL_IN_REWARD if name == "grpo" else {}
    config = {**settings, "algorithm": name, "name": "whole", "lora": {"dropout": 0.1}, "train": train}
    lydite.train(config, rewards=reward, display="none")
    whole, killed = tmp_path / "runs" / "whole", tmp_path / "runs" / "killed"
    shutil.copytree(whole, killed)
    for later in (killed / "checkpoints" / "step-000004", killed / "adapter"):
        shutil.rmtree(later)
    lydite.train(resume=killed, rewards=reward, display="none")
    files = ["metrics.jsonl", "completions.jsonl", "adapter/adapter_model.safetensors"]
    if name == "ppo":
        files.append("checkpoints/step-000004/algorithm.safetensors")
    for file in files:
        assert (killed / file).read_bytes() == (whole / file).read_bytes(), file


def test_a_checkpoint_of_another_algorithm_is_refused(learn: Learn, scored: Callable[..., Scored]) -> None:
    from lydite.checkpoint import Checkpoint

    _, policy, ppo = learn(scored(LENGTHS, REWARDS), algorithm="ppo")
    _, _, rloo = learn(scored(LENGTHS, REWARDS), algorithm="rloo")
    theirs = Checkpoint(1, policy.adapter_state(), ppo.optimizer.state_dict(), {}, ppo.state_beside())
    with pytest.raises(CheckpointError, match=r"value_head.bias.*trains nothing there"):
        rloo.restore(theirs)


class TestOnlineDpo:
    def test_ties_teach_nothing_and_are_counted(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored(LENGTHS, [[0.5] * 4, [0.0, 1.0, 0.0, None]])
        figures, _, _ = learn(step, algorithm="online_dpo")
        assert (figures["pairs"], figures["pairs/tied_share"]) == (1.0, 0.5)
        assert figures["loss"] == pytest.approx(0.6931, abs=1e-3)  # the policy is its own reference yet

    def test_a_step_of_ties_alone_changes_nothing(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored(LENGTHS, [[0.5] * 4, [None] * 4])
        figures, _, learner = learn(step, algorithm="online_dpo")
        assert figures["pairs/tied_share"] == 1.0
        assert (figures["loss"], figures["grad_norm"]) == (0.0, 0.0)
        assert not learner.optimizer.state

    def test_the_margin_of_what_was_learned_is_positive(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored(LENGTHS, REWARDS)
        figures, _, _ = learn(step, {"num_iterations": 4, "learning_rate": 1e-2}, algorithm="online_dpo")
        assert figures["rewards/margins"] > 0.0
        assert figures["rewards/margins"] == pytest.approx(figures["rewards/chosen"] - figures["rewards/rejected"])
        assert 0.5 < figures["rewards/accuracies"] <= 1.0

    def test_what_ran_into_the_limit_is_worth_less(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored([[3, 4], [5, 6]], [[1.0, 1.0], [1.0, 1.0]], truncated=[(0, 0), (1, 1)])
        train = {"num_generations": 2, "per_device_train_batch_size": 4, "steps_per_generation": 1}
        tied, _, _ = learn(step, train, algorithm="online_dpo")
        apart, _, _ = learn(step, train, algorithm="online_dpo", online_dpo={"missing_eos_penalty": 0.5})
        assert (tied["pairs"], apart["pairs"]) == (0.0, 2.0)


class TestPpo:
    def test_the_value_head_learns_what_is_paid(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored(LENGTHS, [[2.0] * 4, [2.0] * 4])
        figures, _, learner = learn(
            step, {"num_iterations": 60, "steps_per_generation": 2, "learning_rate": 1e-6},
            algorithm="ppo", ppo={"value_learning_rate": 0.1, "cliprange_value": 9.0, "kl_coef": 0.0, "lam": 1.0},
        )  # fmt: skip
        assert float(learner.algorithm.parameters()["value_head.bias"].detach()) > 0.5
        assert figures["value/mean"] > 1.0
        assert figures["loss/value_avg"] < 1.0  # 2 for a head that says 0

    def test_what_nothing_could_score_moves_nothing(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored(LENGTHS, [[None] * 4, [None] * 4])
        figures, _, learner = learn(step, {"steps_per_generation": 2}, algorithm="ppo")
        assert figures["grad_norm"] == 0.0
        assert not any(bool(one.detach().any()) for one in learner.algorithm.parameters().values())

    def test_the_penalties_of_the_reward_are_told(self, learn: Learn, scored: Callable[..., Scored]) -> None:
        step = scored([[3, 4], [5, 6]], [[1.0, 0.0], [1.0, 1.0]], truncated=[(0, 0)])
        train = {"num_generations": 2, "per_device_train_batch_size": 4, "steps_per_generation": 1}
        figures, _, _ = learn(step, train, algorithm="ppo", ppo={"missing_eos_penalty": 0.5})
        assert figures["objective/kl"] == pytest.approx(0.0, abs=1e-5)
        assert figures["objective/rlhf_reward"] == pytest.approx(2.5 / 4, abs=1e-5)

    def test_a_prompt_may_be_asked_once(self, settings: dict[str, Any]) -> None:
        reward = {"paid": lydite.reward(isolation="inline")(lambda completion: float(len(completion.text) % 5))}
        train = {**settings["train"], "num_generations": 1, "max_steps": 2}
        result = lydite.train({**settings, "algorithm": "ppo", "train": train}, rewards=reward, display="none")
        records, completions = (
            [json.loads(line) for line in (result.folder / f"{name}.jsonl").read_text().splitlines()]
            for name in ("metrics", "completions")
        )
        assert all(one["grad_norm"] > 0.0 for one in records)
        assert len({one["sample"] for one in completions if one["step"] == 1}) == 8

"""An update's passes: cut alike wherever log-probabilities are kept, and done once more when they had no room."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.scored_steps import step_of_lengths

import lydite
from lydite.algorithms import grpo as module
from lydite.config import RunConfig
from lydite.learner import Learner
from lydite.policy import Policy
from lydite.progress import Progress
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels

STEP = step_of_lengths([[3, 9, 1, 4], [7, 2, 2, 8]])


@pytest.fixture
def learn(settings: dict[str, Any]) -> Callable[..., tuple[dict[str, float], Policy]]:
    """What a step's updates say, and the policy after them."""

    def one(**train: Any) -> tuple[dict[str, float], Policy]:
        base = {
            "max_steps": 1, "num_generations": 4, "per_device_train_batch_size": 4, "steps_per_generation": 2,
            "max_completion_length": 9, "learning_rate": 1e-3,
        }  # fmt: skip
        config = RunConfig.model_validate({**settings, "eval": None, "train": {**base, **train}})
        policy = lydite.load_policy(config)
        sentinels = Sentinels(config.sentinels, policy, ScriptedEngine(("yes",), policy.tokenizer))
        return Learner(policy, config, sentinels).learn(1, STEP, Progress()), policy

    return one


def test_a_budget_makes_the_updates_that_completions_of_any_number_make(learn: Any, settings: Any) -> None:
    settings["lora"] = {"dropout": 0.0}
    for train in ({"num_iterations": 2, "beta": 0.1}, {"loss_type": "grpo", "share_prompts": False}):
        expected, plain = learn(**train)
        figures, policy = learn(**train, micro_batch_tokens=12)
        assert figures == pytest.approx(expected, rel=1e-4, abs=1e-6)
        for name, ours in policy.trainable().items():
            torch.testing.assert_close(ours, plain.trainable()[name], rtol=1e-4, atol=2e-5)


def test_each_update_computes_with_the_adapter_that_the_one_before_left(
    learn: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the layers as they came, which make nothing of the adapter that outlasts a call."""
    settings["lora"] = {"dropout": 0.0}
    train = {"num_iterations": 3, "micro_batch_tokens": 12, "learning_rate": 0.05, "beta": 0.1}
    figures, policy = learn(**train)
    monkeypatch.setenv("LYDITE_KERNELS", "layers")
    expected, plain = learn(**train)
    assert figures == pytest.approx(expected, rel=1e-3, abs=1e-5)
    for name, ours in policy.trainable().items():
        torch.testing.assert_close(ours, plain.trainable()[name], rtol=1e-3, atol=1e-3)


def test_an_update_without_room_is_done_once_more_with_the_same_numbers(
    learn: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, plain = learn(micro_batch_tokens=12)
    passes: list[bool] = []

    def tight(policy: Any, *rest: Any) -> Any:
        layers = policy.causal.model.layers
        passes.append(all(layer.gradient_checkpointing for layer in layers))
        if len(passes) == 3:  # after two passes have left their gradients
            raise torch.OutOfMemoryError("no room")
        return real(policy, *rest)

    real = module.micro_batch_loss
    monkeypatch.setattr(module, "micro_batch_loss", tight)
    caplog.set_level(logging.WARNING, "lydite")
    _, policy = learn(micro_batch_tokens=12)
    assert passes[:4] == [False, False, False, True]
    assert "an update had no room with 0 of 2 layers computed again" in caplog.text
    for name, ours in policy.trainable().items():
        torch.testing.assert_close(ours, plain.trainable()[name], rtol=0, atol=0)


def test_without_room_even_so_the_run_ends(learn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(module, "micro_batch_loss", full)
    with pytest.raises(torch.OutOfMemoryError):
        learn()
    with pytest.raises(torch.OutOfMemoryError):
        learn(gradient_checkpointing=False)

"""Real sampling, rewards and updates on a random model: after a few steps it writes what is paid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lydite

CASES: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo"},
    "bnpo": {"loss_type": "bnpo"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence", "advantage_estimator": "leave_one_out"},
    "dppo": {"loss_type": "dppo", "advantage_estimator": "pass_at_k", "pass_reward": 0.3},
    "entropy": {
        "loss_type": "cispo",
        "entropy_coef": 1e-3,
        "top_entropy_quantile": 0.8,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 8,
    },
    "kl": {"beta": 0.01},
    "several updates": {
        "num_iterations": 2,
        "steps_per_generation": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 2e-2,
    },
    # Most of what a random model writes runs into the limit and teaches nothing: more and longer completions, then.
    "masked": {
        "mask_truncated_completions": True,
        "max_completion_length": 96,
        "per_device_train_batch_size": 64,
        "learning_rate": 3e-2,
    },
    "every weight": {"learning_rate": 3e-3},
    "every weight and kl": {"learning_rate": 3e-3, "beta": 0.01},
    "8 bit": {"optim": "adamw_8bit"},
    "checkpointed activations": {"gradient_checkpointing": True},
    "a budget of tokens": {"micro_batch_tokens": 48},
}
LETTERS = frozenset("abcdefghijklm")


def paid(completion: Any) -> float:
    """The share of letters of the alphabet's first half: about a tenth of what a random model writes."""
    return sum(letter in LETTERS for letter in completion.text) / max(1, len(completion.text))


def rewards(folder: Path) -> list[float]:
    return [json.loads(line)["reward"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_what_is_paid_for_becomes_frequent(settings: dict[str, Any], case: str) -> None:
    train = {
        "max_steps": 25, "num_generations": 8, "per_device_train_batch_size": 16, "max_completion_length": 6,
        "learning_rate": 5e-2, "lr_scheduler_type": "constant", "save_steps": 100, **CASES[case],
    }  # fmt: skip
    config = {
        **settings, "train": train, "rewards": {"paid": {"use": "paid"}}, "eval": None, "plugin_files": [],
        "lora": {"enabled": not case.startswith("every weight")},
    }  # fmt: skip
    result = lydite.train(config, rewards={"paid": lydite.reward(isolation="inline")(paid)}, display="none")
    curve = rewards(result.folder)
    early, late = sum(curve[:3]) / 3, sum(curve[-3:]) / 3
    assert late > early + 0.12, curve  # six times what chance moves a mean over three steps
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert ("kl" in lines[-1]) == bool(train.get("beta"))
    if train.get("beta"):
        assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-5)
        assert lines[-1]["kl"] > 0.0


def test_completions_that_ran_into_the_limit_teach_nothing_when_masked(settings: dict[str, Any]) -> None:
    train = {"max_steps": 2, "num_generations": 4, "max_completion_length": 1, "learning_rate": 5e-2}
    config = {**settings, "rewards": {"paid": {"use": "paid"}}, "eval": None, "plugin_files": []}
    reward = lydite.reward(isolation="inline")(lambda completion: float(len(completion.text.encode()) % 7))
    moved = {}
    for mask in (False, True):
        policy = lydite.load_policy(config)
        before = policy.adapter_hash()
        chosen = {**config, "name": f"mask-{mask}", "train": {**train, "mask_truncated_completions": mask}}
        result = lydite.train(chosen, rewards={"paid": reward}, policy=policy, display="none")
        first = json.loads((result.folder / "metrics.jsonl").read_text().splitlines()[0])
        assert first["completions/clipped_ratio"] == 1.0
        assert first["reward_std"] > 0.0
        moved[mask] = (policy.adapter_hash() != before, first["grad_norm"] > 0.0)
    assert moved == {False: (True, True), True: (False, False)}

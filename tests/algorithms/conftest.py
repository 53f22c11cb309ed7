"""A tiny random model, a task that it can learn in a few steps, and a step that is scored already."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scored_steps import step_of_lengths
from support.shaken import shake

import lydite
from lydite.config import RunConfig
from lydite.learner import Learner
from lydite.policy import Policy
from lydite.progress import Progress
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels
from lydite.types import Scored

ALGORITHMS = ("grpo", "rloo", "online_dpo", "ppo")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny_model(folder, "llama", settings={"num_hidden_layers": 2, "hidden_size": 32})


@pytest.fixture
def settings(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A configuration of a run in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(12)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "plugins": ["lydite-datasets", "lydite-families"],
        "output_dir": "runs",
        "model": {"path": str(model), "dtype": "float32", "device": "cpu"},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl"}, "check_reference": "off"},
        "rewards": {"paid": {"use": "paid"}},
        "train": {
            "max_steps": 4, "num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 8,
            "learning_rate": 1e-2,
        },
    }  # fmt: skip


@pytest.fixture
def scored() -> Callable[..., Scored]:
    """Builds a step of groups with completions of these lengths and rewards."""
    return step_of_lengths


@pytest.fixture
def learn(settings: dict[str, Any]) -> Callable[..., tuple[dict[str, float], Policy, Learner]]:
    """What a step's updates say, the policy after them, and its learner."""

    def one(step: Scored, train: dict[str, Any] | None = None, *, shaken: float = 0.0, **tables: Any) -> Any:
        base = {
            "max_steps": 1, "num_generations": 4, "per_device_train_batch_size": 4, "steps_per_generation": 2,
            "max_completion_length": 9, "learning_rate": 1e-3,
        }  # fmt: skip
        config = RunConfig.model_validate({**settings, **tables, "train": {**base, **(train or {})}})
        policy = lydite.load_policy(config)
        shake(policy, 1, shaken)
        sentinels = Sentinels(config.sentinels, policy, ScriptedEngine(("yes",), policy.tokenizer))
        learner = Learner(policy, config, sentinels)
        return learner.learn(1, step, Progress()), policy, learner

    return one

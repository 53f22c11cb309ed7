"""Two processes make the updates that one makes, also where an advantage needs what the other has found out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.shaken import shake
from torch import nn

import lydite
from lydite.config import RunConfig
from lydite.distributed.processes import Processes, being
from lydite.learner import Learner
from lydite.progress import Progress
from lydite.rollout.scripted import ScriptedEngine
from lydite.sentinels import Sentinels
from lydite.types import Scored

LENGTHS = [[3, 9, 1, 4], [7, 2, 2, 8], [5, 5, 6, 2]]  # three groups: the parts of two processes differ
REWARDS = [[0.0, 1.0, 0.5, 0.25], [1.0, None, 0.0, 1.0], [0.5, 0.0, 1.0, 0.0]]


class InThreads(Processes):
    """Two processes as two threads of this one, which tell each other things as real ones do."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._barrier = threading.Barrier(2, timeout=30)
        self._told: list[Any] = [None, None]
        super().__init__(0, 2)

    @property
    def index(self) -> int:
        return int(getattr(self._here, "index", 0))

    @index.setter
    def index(self, index: int) -> None:
        self._here.index = index

    def gather(self, thing: Any) -> list[Any]:
        self._told[self.index] = thing
        self._barrier.wait()
        told = list(self._told)
        self._barrier.wait()
        return told

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        trained = list(parameters)
        grads = [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in trained]
        for one, *parts in zip(trained, *self.gather(grads), strict=True):
            one.grad = parts[0] + parts[1]


@pytest.fixture
def learner(settings: dict[str, Any]) -> Callable[..., tuple[Learner, Any]]:
    def make(name: str) -> tuple[Learner, Any]:
        train = {
            "max_steps": 1, "num_generations": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3,
            "num_iterations": 2, "max_completion_length": 9, "learning_rate": 1e-3,
            **({"beta": 0.3, "use_kl_in_reward": True} if name == "grpo" else {}),
        }  # fmt: skip
        tables = {"ppo": {"ppo": {"bootstrap_truncated": True}}}.get(name, {})
        config = RunConfig.model_validate({**settings, **tables, "algorithm": name, "train": train})
        policy = lydite.load_policy(config)
        shake(policy, 1, 0.05)  # so that the reference is another
        sentinels = Sentinels(config.sentinels, policy, ScriptedEngine(("yes",), policy.tokenizer))
        return Learner(policy, config, sentinels), policy

    return make


@pytest.mark.parametrize("name", ["grpo", "rloo", "online_dpo", "ppo"])
def test_two_processes_make_the_updates_of_one(learner: Any, scored: Callable[..., Scored], name: str) -> None:
    step = scored(LENGTHS, REWARDS, [(0, 1), (2, 2)], sampler=lambda n: tuple(-3.0 + 0.1 * t for t in range(n)))
    alone, expected = learner(name)
    figures = alone.learn(1, step, Progress())
    processes = InThreads()
    with being(processes):
        both = [learner(name) for _ in range(2)]

        def learn(index: int) -> dict[str, float]:
            processes.index = index
            found: dict[str, float] = both[index][0].learn(1, step, Progress())
            return found

        with ThreadPoolExecutor(2) as threads:
            told = list(threads.map(learn, range(2)))
    assert told[0] == told[1] == pytest.approx(figures, rel=1e-4, abs=1e-5)
    for one, policy in both:
        for key, value in policy.trainable().items():
            torch.testing.assert_close(value, expected.trainable()[key], rtol=1e-4, atol=2e-5)
        for key, value in one.algorithm.parameters().items():
            torch.testing.assert_close(value, alone.algorithm.parameters()[key], rtol=1e-4, atol=2e-5)

"""Stacks of adapters, with functions found by import path in a folder beside these tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.plugins import load_plugins
from lydite.rewards import build_eval_stack
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import WorkerPool
from lydite.types import Generated, Prompt, Rollout, Sample, Verdict

FUNCTIONS = Path(__file__).parent / "functions"


PEERS = Path(sys.prefix) / "peers"


@pytest.fixture(scope="session", autouse=True)
def functions() -> Iterator[None]:
    """Puts the functions, and the other trainers' packages, where worker processes find them too."""
    before = list(sys.path)
    sys.path += [str(FUNCTIONS), *(str(PEERS / name) for name in ("verl", "verifiers") if (PEERS / name).is_dir())]
    yield
    sys.path[:] = before


@pytest.fixture
def peer() -> Callable[[str], Path]:
    """The folder of another trainer's package, from the environment's own folder of them."""

    def found(name: str) -> Path:
        if not (PEERS / name).is_dir():
            pytest.skip(f"{name} is not in {PEERS}; make test puts it there")
        return PEERS / name

    return found


@pytest.fixture(scope="session")
def pool(functions: None) -> Iterator[WorkerPool]:
    pool = WorkerPool(workers=1, limits=Limits(memory_mb=4096, cpu_seconds=60))
    yield pool
    pool.close()


Judge = Callable[..., list[Verdict]]


@pytest.fixture
def judge(pool: WorkerPool) -> Judge:
    """Judges completions of one prompt by one adapter, in a worker process, and gives their verdicts."""

    def run(
        use: str,
        texts: Sequence[str],
        options: Mapping[str, Any],
        *,
        prompt: Any = "2 + 2?",
        reference: Any = None,
        columns: Mapping[str, Any] | None = None,
    ) -> list[Verdict]:
        reward = {"use": use, "options": dict(options)}
        config = RunConfig.model_validate(
            {
                "model": {"path": "none"},
                "data": {"use": "none"},
                "rewards": {"it": reward},
                "eval": {"reward": reward, "metric": "it"},
                "stack": {"max_error_share": 1.0},
            }
        )
        stack = build_eval_stack(config, load_plugins(allow=["lydite-adapters"]), Plain(), pool=pool)
        sample = Sample("s", prompt, reference, columns or {})
        generated = tuple(Generated((1,) * len(text), text, text, "stop") for text in texts)
        scored = stack.score([Rollout(Prompt(sample, str(prompt), (1,)), generated)], 1)
        stack.close()
        return [one.components["it"].verdict for one in scored.groups[0].completions]

    return run

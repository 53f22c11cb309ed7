"""One step, measured: what the watch sees, and what is done while it looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.planned_runs import run_config

from lydite.algorithms import grpo
from lydite.dryrun import Measured, dry_run
from lydite.dryrun.memory import Peak


def test_the_watch_sees_what_is_gone_again() -> None:
    device = torch.device("cpu")
    with Peak(device) as before:
        pass
    with Peak(device) as during:
        held = torch.ones(64 * 2**20 // 4)
        time.sleep(0.1)  # several looks
        del held
    assert during.bytes - before.bytes > 48 * 2**20


def test_a_dry_run_samples_a_step_and_trains_a_micro_batch(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def loss(policy: Any, batch: Any, *rest: Any) -> Any:
        seen["shape"] = tuple(batch.input_ids.shape)
        seen["gradients"] = all(one.grad is not None for one in policy.trainable().values())
        return real(policy, batch, *rest)

    real = grpo.micro_batch_loss
    monkeypatch.setattr(grpo, "micro_batch_loss", loss)
    config = run_config(
        model={"path": str(tiny("llama")), "device": "cpu", "quantization": "none"},
        data={"max_prompt_length": 20},
        train={
            "per_device_train_batch_size": 6, "num_generations": 3, "steps_per_generation": 2,
            "max_completion_length": 7,
        },
    )  # fmt: skip
    found = dry_run(config)
    assert isinstance(found, Measured)
    assert seen == {"shape": (6, 27), "gradients": True}
    assert found.engine == "hf"
    assert found.described.startswith("12 completions of at most 7 tokens")
    assert found.training > 0
    assert found.rollout > 0

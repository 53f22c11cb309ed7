"""Runs and devices for the planner's tests.

from support.planned_runs import card, run_config
"""

from __future__ import annotations

from typing import Any

from lydite.config import RunConfig
from lydite.planner import FreeMemory

GIB = 2**30


def run_config(**sections: Any) -> RunConfig:
    """A run with these sections; 8 prompts x 8 completions, prompts of 512 tokens and completions of 512, NF4."""
    base: dict[str, Any] = {
        "model": {"path": "none", "quantization": "nf4"},
        "data": {"use": "none", "max_prompt_length": 512},
        "rewards": {"correct": {"use": "none"}},
        "train": {"per_device_train_batch_size": 8, "steps_per_generation": 8, "max_completion_length": 512},
    }
    for name, content in sections.items():
        base[name] = {**base.get(name, {}), **content} if isinstance(content, dict) else content
    return RunConfig.model_validate(base)


def card(gib: float, *, device: Any = "cuda", loaded: bool = False) -> FreeMemory:
    """A device with so much memory, all of it free."""
    return FreeMemory(device, int(gib * GIB), int(gib * GIB), policy_loaded=loaded)

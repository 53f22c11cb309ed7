"""Engines: what turns prompts into completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lydite.rollout.engine import Engine, Sampling

if TYPE_CHECKING:
    from lydite.config import RunConfig
    from lydite.policy import Policy

__all__ = ["Engine", "Sampling", "make_engine"]


def make_engine(config: RunConfig, policy: Policy) -> Engine:
    """The engine that the configuration names, sampling from this policy."""
    if config.engine.use == "scripted":
        from lydite.rollout.scripted import ScriptedEngine

        return ScriptedEngine(config.engine.script, policy.tokenizer)
    from lydite.rollout.hf import HF_BATCH_SIZE, HfEngine

    return HfEngine(policy, max_batch_size=config.engine.max_batch_size or HF_BATCH_SIZE)

"""Engines: what turns prompts into completions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lydite.errors import ConfigError, EngineError
from lydite.rollout.engine import CanaryAnswer, Engine, Sampling, conversing
from lydite.rollout.retry import generate_with_retry

if TYPE_CHECKING:
    from lydite.config import RunConfig
    from lydite.policy import Policy

__all__ = ["CanaryAnswer", "Engine", "Sampling", "conversing", "generate_with_retry", "make_engine"]

logger = logging.getLogger("lydite")


def make_engine(config: RunConfig, policy: Policy) -> Engine:
    """The engine that the configuration names, sampling from this policy.

    `auto` is vllm on a CUDA device, where a version of it is installed that lydite knows and it starts with this
    model; else hf. On a CPU both are about as fast, and hf starts at once.

    Raises:
        EngineError, ConfigError: when the named engine cannot be had.
    """
    if config.engine.use == "scripted":
        from lydite.rollout.scripted import ScriptedEngine

        return ScriptedEngine(config.engine.script, policy.tokenizer)
    if config.engine.use == "vllm":
        return _vllm(config, policy)
    if config.engine.use == "auto" and policy.device.type == "cuda" and config.distributed.strategy != "fsdp2":
        from lydite.rollout.vllm import can_run

        if can_run():
            try:
                return _vllm(config, policy)
            except (EngineError, ConfigError) as error:  # the second: it does not fit
                logger.warning("sampling with transformers instead of vLLM: %s", error)
    from lydite.planner.workload import HF_SEQUENCES
    from lydite.rollout.hf import HfEngine

    return HfEngine(policy, max_batch_size=config.engine.max_batch_size or HF_SEQUENCES)


def _vllm(config: RunConfig, policy: Policy) -> Engine:
    from lydite.planner import free_memory, plan_engine, shapes_of_policy
    from lydite.rollout.vllm.engine import VllmEngine

    plan = plan_engine(config, shapes_of_policy(policy), free_memory(policy.device, policy_loaded=True))
    for line in plan.lines:
        logger.info("engine: %s", line)
    return VllmEngine(policy, config.engine, plan)

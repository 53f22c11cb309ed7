"""One step at full length, without data, rewards or anything kept: how much memory a run really takes."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import torch

from lydite.config import RunConfig
from lydite.dryrun.memory import Peak, tidy, used
from lydite.dryrun.training import started_learner, train_once
from lydite.planner.memory import in_units
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.dtypes import device_for, settled
from lydite.rollout import Sampling, make_engine
from lydite.types import Prompt, Sample


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes beyond what the process held on the device before it loaded anything."""

    engine: str
    loaded: int
    """With the policy."""
    rollout: int
    """At the peak of sampling."""
    training: int
    """At the peak of an update of one micro-batch, and of what goes before it."""
    described: str
    """What was done, in words."""
    lines: tuple[str, ...]
    """What else was seen."""


def dry_run(config: RunConfig) -> Measured:
    """What one sampling and one micro-batch of the run's algorithm take, of sequences as long as they may be.

    The prompts are random tokens. An engine cannot be made to go on: completions that end early leave the cache
    emptier than planned. The micro-batch is random tokens at full length, the largest that the algorithm makes of an
    update: its own passes before the update, its loss, with gradients and the optimiser's state beside it as they are
    from the second update on. On a GPU it is the device's memory that is read, so nothing else
    should run there; on a CPU the resident memory of this process.

    Raises:
        LyditeError: when model or engine cannot be had as configured.
    """
    importlib.import_module("peft")  # whose own size is no part of the run's
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    device = device_for(config.model)
    config = settled(config, device)
    tidy(device)  # else what others left is given back later on, and the run seems smaller by it
    before = used(device)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    tidy(device)
    loaded = used(device) - before
    engine = make_engine(config, policy)
    try:
        engine.take_adapter(policy)
        learner = started_learner(config, policy, plugins)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with Peak(device) as rollout:
            sampled = engine.generate(_prompts(config, policy), _sampling(config), config.seed)
        lines = [_torch_line("rollout", device)] if device.type == "cuda" else []
        tidy(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with Peak(device) as training:
            trained = train_once(config, learner, policy)
        activations = learner.activations
        lines.append(f"training: {activations.recomputed} of {activations.layers} layers were computed again")
        lines += [_torch_line("training", device)] if device.type == "cuda" else []
    finally:
        engine.close()
    lengths = [len(one.token_ids) for group in sampled for one in group.completions]
    mean, train = sum(lengths) / len(lengths), config.train
    return Measured(
        engine=engine.name,
        loaded=loaded,
        rollout=rollout.bytes - before,
        training=training.bytes - before,
        described=(
            f"{len(lengths)} completions of at most {max(lengths)} tokens, {mean:.0f} on average, "
            f"after prompts of {config.data.max_prompt_length}, then a micro-batch of "
            f"{trained} completions of {train.max_completion_length} under {config.algorithm}"
        ),
        lines=tuple(lines),
    )


def _torch_line(phase: str, device: torch.device) -> str:
    reserved, allocated = torch.cuda.max_memory_reserved(device), torch.cuda.max_memory_allocated(device)
    return f"{phase}: torch held {in_units(reserved)} at its peak, {in_units(allocated)} of it in tensors"


def _sampling(config: RunConfig) -> Sampling:
    train = config.train
    return Sampling(
        train.num_generations, train.max_completion_length, train.temperature, train.top_p, train.top_k, train.min_p
    )


def _prompts(config: RunConfig, policy: Policy) -> list[Prompt]:
    """A step's prompts, each of random tokens and as long as a prompt may be."""
    draws = torch.Generator().manual_seed(config.seed)
    shape = (config.train.prompts_per_step, config.data.max_prompt_length)
    tokens = torch.randint(policy.head().weight.shape[0], shape, generator=draws).tolist()
    return [Prompt(Sample(f"dry-run-{place}", ""), "", tuple(row)) for place, row in enumerate(tokens)]

"""The longest completion that a training pass really has room for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Final

import torch

from lydite.config import RunConfig
from lydite.dryrun.memory import Peak, tidy, used
from lydite.dryrun.training import started_learner, train_once
from lydite.planner import free_memory, shapes_of_policy
from lydite.planner.longest import Longest, completion_room, largest_near, with_completions
from lydite.plugins import load_plugins
from lydite.policy import load_policy
from lydite.policy.dtypes import device_for, settled

_WITHIN: Final = 1 / 50  # of the length: a trial takes as long as a pass, and allocators are no more exact


@dataclass(frozen=True, slots=True)
class Tried:
    """What a bisection with real passes came to."""

    found: Longest
    trials: int
    recomputed: int
    """Layers that computed their activations again in the longest pass that fitted."""
    layers: int


def longest_trained(config: RunConfig, guess: int) -> Tried:
    """The longest completion that one micro-batch is trained on here, to a fiftieth; `guess` tokens are tried first.

    Only the trainer is tried, by the run's own algorithm, with gradients and optimiser but without an engine. On a GPU
    a pass fits unless it runs out of memory; on a CPU, where the system would end the process, while it takes less than
    what was free.

    Raises:
        LyditeError: when the model cannot be had as configured.
    """
    importlib.import_module("peft")  # whose own size is no part of the run's
    device = device_for(config.model)
    config = settled(config, device)
    tidy(device)
    free = free_memory(device, policy_loaded=False).free
    before = used(device)
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    policy = load_policy(config.model, config.lora, plugins, config.seed)
    shapes = shapes_of_policy(policy)
    learner = started_learner(config, policy, plugins)
    tried: dict[int, int] = {}

    def fits(completion: int) -> bool:
        tidy(device)
        try:
            with Peak(device) as peak:
                train_once(with_completions(config, completion), learner, policy)
        except torch.OutOfMemoryError:
            return False
        finally:
            tried[completion] = learner.activations.recomputed
        return device.type == "cuda" or peak.bytes - before <= free

    room = completion_room(config, shapes)
    completion = largest_near(fits, max(1, min(guess, room)), room, within=_WITHIN)
    found = Longest(config.data.max_prompt_length, completion, shapes.context_length)
    return Tried(found, len(tried), tried.get(completion, 0), learner.activations.layers)

"""What is to be sampled, made definite: which prompts, how many at once, and how completions are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from lydite.config import RunConfig
from lydite.data import prompt_order
from lydite.errors import ConfigError, DataError
from lydite.prompts import Prompts
from lydite.rollout import Sampling
from lydite.types import Prompt

PROMPTS: Final = 64
"""Prompts that are asked unless told otherwise: the mean of a reward from 0 to 1 is then known to 0.06 or better."""
COMPLETIONS_AT_ONCE: Final = 256
"""Asked of the engine in one call, if a step of the run takes no more: four batches of hf, or a full one of vllm."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is sampled; None: as the configuration has it."""

    n: int | None = None
    """Prompts. None: `PROMPTS`, or all if there are fewer; of the held-out ones all."""
    heldout: bool = False
    """Asks the held-out prompts as the run's own evaluation does: one greedy answer each."""
    num_generations: int | None = None
    temperature: float | None = None
    """0 takes the likeliest token each time."""
    max_completion_length: int | None = None


def with_limit(config: RunConfig, wanted: Wanted) -> RunConfig:
    """The configuration with the wanted length: an engine is sized by it."""
    limit = wanted.max_completion_length
    if limit is None:
        return config
    if limit < 1:
        raise ConfigError(f"a completion has at least 1 token, got max_completion_length = {limit}")
    changed: dict[str, Any] = {"train": config.train.model_copy(update={"max_completion_length": limit})}
    if config.eval is not None:
        changed["eval"] = config.eval.model_copy(update={"max_completion_length": limit})
    return config.model_copy(update=changed)


def sampling_of(config: RunConfig, wanted: Wanted) -> Sampling:
    """As in training, or as in the run's evaluation; several answers to a held-out prompt are drawn as in training."""
    train = config.train
    if wanted.heldout and config.eval is None:
        raise ConfigError(
            "held-out prompts are asked for, and the configuration has no [eval] table that sets some aside"
        )
    group = wanted.num_generations or (1 if wanted.heldout else train.num_generations)
    temperature = wanted.temperature
    if temperature is None:
        temperature = 0.0 if wanted.heldout and group == 1 else train.temperature
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise ConfigError(f"a temperature is a number from 0, got {temperature}")
    if temperature == 0 and group > 1:
        raise ConfigError(
            f"at temperature 0 all {group} completions of a prompt are the same; ask for one, or give a temperature"
        )
    limit = (
        config.eval.max_completion_length if wanted.heldout and config.eval else None
    ) or train.max_completion_length
    return Sampling(group, limit, temperature, train.top_p, train.top_k, train.min_p)


def evaluation_alone(config: RunConfig) -> RunConfig:
    """The configuration whose only reward is that of its held-out evaluation."""
    assert config.eval is not None
    return config.model_copy(update={"rewards": {config.eval.metric: config.eval.reward}, "length": None})


def chosen(prompts: Prompts, config: RunConfig, wanted: Wanted) -> tuple[Prompt, ...]:
    """The first ones: of those to train on in the order in which the run asks them."""
    there = prompts.heldout if wanted.heldout else prompts.train
    what = "held-out prompts" if wanted.heldout else "prompts to train on"
    n = wanted.n or (len(there) if wanted.heldout else min(PROMPTS, len(there)))
    if n > len(there):
        raise DataError(f"{n} {what} are asked for, and the run has {len(there)}; ask for fewer")
    if wanted.heldout:
        return there[:n]
    return tuple(there[place] for place in prompt_order(len(there), config.seed, shuffle=config.data.shuffle)[:n])


def prompts_at_once(config: RunConfig, wanted: Wanted, sampling: Sampling) -> int:
    """Prompts in one call of the engine.

    A run asks its held-out prompts in one call. So does this: what is decoded side by side decides how sums are
    rounded, and the answers are to be the run's own.
    """
    if wanted.heldout and sampling.num_generations == 1:
        assert config.eval is not None
        return config.eval.n
    return max(1, max(COMPLETIONS_AT_ONCE, config.train.generation_batch_size) // sampling.num_generations)

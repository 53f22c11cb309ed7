"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from lydite.config import TrainConfig
from lydite.errors import ConfigError, MissingExtraError


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with its state in fp32, or in 8 bit through bitsandbytes.

    Raises:
        ConfigError: when there is nothing to train.
        MissingExtraError: when the 8-bit optimiser is asked for and bitsandbytes is not installed.
    """
    trained = list(parameters)
    if not trained:
        raise ConfigError("the model has no parameter to train; check lora.target_modules")
    betas = (config.adam_beta1, config.adam_beta2)
    if config.optim == "adamw_8bit":
        try:
            import bitsandbytes
        except ImportError as error:
            raise MissingExtraError(
                'train.optim = "adamw_8bit" needs bitsandbytes: pip install bitsandbytes'
            ) from error
        return cast(
            torch.optim.Optimizer,
            bitsandbytes.optim.AdamW8bit(
                trained, lr=config.learning_rate, betas=betas, eps=config.adam_epsilon, weight_decay=config.weight_decay
            ),
        )
    return torch.optim.AdamW(
        trained,
        lr=config.learning_rate,
        betas=betas,
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate(update: int, config: TrainConfig) -> float:
    """The learning rate of an update, counted from 0: a linear warm-up, then the schedule down to 0.

    The last update of a run has a rate above 0, as in transformers' schedules.
    """
    total = config.max_steps * config.updates_per_step
    if update < config.warmup_steps:
        return config.learning_rate * (update + 1) / (config.warmup_steps + 1)
    progress = (update - config.warmup_steps) / max(1, total - config.warmup_steps)
    if config.lr_scheduler_type == "linear":
        share = 1.0 - progress
    elif config.lr_scheduler_type == "cosine":
        share = 0.5 * (1.0 + math.cos(math.pi * progress))
    else:
        share = 1.0
    return config.learning_rate * max(0.0, share)

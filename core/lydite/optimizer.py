"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import torch
from torch import nn

from lydite.config import TrainConfig
from lydite.errors import ConfigError, MissingExtraError

_PAGED: Final = ("state1", "state2")  # what bitsandbytes calls the two moments


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with its state in fp32, or in 8 bit or paged through bitsandbytes. What is trained stays in fp32.

    On a CPU a paged state is an ordinary one, which is in the host's memory anyway.

    Raises:
        ConfigError: when there is nothing to train.
        MissingExtraError: when an optimiser of bitsandbytes is asked for, which is not installed.
    """
    trained = list(parameters)
    if not trained:
        raise ConfigError("the model has no parameter to train; check lora.target_modules")
    if config.optim != "adamw":
        return _of_bitsandbytes(trained, config)
    return torch.optim.AdamW(
        trained,
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Puts the state of a checkpoint back, number for number.

    bitsandbytes reads a paged state back as an ordinary one of the GPU; it is paged again here.
    """
    optimizer.load_state_dict(dict(state))
    if not getattr(optimizer, "is_paged", False):
        return
    paged = cast(Any, optimizer)
    for parameter, own in paged.state.items():
        if parameter.device.type != "cuda":
            continue
        for name in _PAGED:
            if name in own:
                buffer = paged.get_state_buffer(parameter, dtype=own[name].dtype)
                torch.cuda.synchronize(parameter.device)  # bitsandbytes fills it with zeros, in its own time
                buffer.copy_(own[name])
                own[name] = buffer


def _of_bitsandbytes(trained: list[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingExtraError(
            f'train.optim = "{config.optim}" needs bitsandbytes: pip install bitsandbytes'
        ) from error
    small = config.optim.endswith("_8bit")
    make = bitsandbytes.optim.AdamW8bit if small else bitsandbytes.optim.AdamW32bit
    if config.optim.startswith("paged") and trained[0].device.type == "cuda":
        make = bitsandbytes.optim.PagedAdamW8bit if small else bitsandbytes.optim.PagedAdamW32bit
    return cast(
        torch.optim.Optimizer,
        make(
            trained,
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        ),
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

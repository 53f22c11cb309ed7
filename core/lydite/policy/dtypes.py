"""The type that a model computes in: the one asked for, or under `auto` the one that its device is fast in."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast

import torch

from lydite.config import ModelConfig, RunConfig
from lydite.errors import ConfigError
from lydite.policy.software_products import slowness

Dtype: TypeAlias = Literal["bfloat16", "float16", "float32"]

DTYPES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def device_for(model: ModelConfig) -> torch.device:
    """The device that the model is held on here.

    Raises:
        ConfigError: when CUDA is asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if model.device == "cuda" and not available:
        raise ConfigError("model.device = 'cuda', and torch sees no CUDA device; take 'auto' or 'cpu'")
    return torch.device("cuda" if available and model.device != "cpu" else "cpu")


def dtype_for(model: ModelConfig, device: torch.device) -> Dtype:
    """The type that is asked for; under `auto` bfloat16, but float32 on a CPU that makes its products in software."""
    if model.dtype != "auto":
        return model.dtype
    return "float32" if device.type == "cpu" and slowness(torch.bfloat16) is not None else "bfloat16"


def name_of(dtype: torch.dtype) -> Dtype:
    """A type as configurations call it."""
    return cast(Dtype, str(dtype).removeprefix("torch."))


def settled(config: RunConfig, device: torch.device | None = None) -> RunConfig:
    """The configuration with the type that `auto` comes to on a device, by default the one that `device_for` gives.

    What is written down must name a type: a run that goes on elsewhere, and an export, compute in the one that it began
    with.

    Raises:
        ConfigError: as `device_for`.
    """
    if config.model.dtype != "auto":
        return config
    return with_dtype(config, dtype_for(config.model, device or device_for(config.model)))


def with_dtype(config: RunConfig, dtype: Dtype | Literal["auto"]) -> RunConfig:
    """The configuration with this type in place of `auto`."""
    if config.model.dtype != "auto":
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"dtype": dtype})})

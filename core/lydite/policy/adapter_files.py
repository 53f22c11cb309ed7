"""Adapters in peft's format, read: a folder with `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file

from lydite.errors import ConfigError, ModelError
from lydite.policy.adapter import ADAPTER
from lydite.policy.policy import Policy

SETTINGS: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"

_OURS: Final[Mapping[str, Any]] = {
    "peft_type": "LORA",
    "use_dora": False,
    "use_rslora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "bias": "none",
    "modules_to_save": None,
}
"""What an adapter here is, by peft's names; with any other value the same weights mean something else."""


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """What a folder says of its adapter, besides the weights."""

    base: str | None
    """The model that it was trained on, as that was called then."""
    r: int
    alpha: float


def read_adapter_settings(folder: Path) -> AdapterSettings:
    """The settings in a folder that `save_adapter` or peft wrote.

    Raises:
        ConfigError: when it holds no adapter, or one of a kind that is not plain LoRA.
    """
    path = folder / SETTINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        base, r, alpha = content.get("base_model_name_or_path"), int(content["r"]), float(content["lora_alpha"])
    except OSError as error:
        raise ConfigError(f"{folder} holds no adapter in peft's format: {path.name}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} does not describe a LoRA adapter: {type(error).__name__}: {error}") from None
    for key, expected in _OURS.items():
        if (given := content.get(key)) and given != expected:
            raise ConfigError(
                f"{path}: {key} = {given!r}, expected {expected!r}; adapters here are plain LoRA of one rank"
            )
    if not (folder / WEIGHTS).is_file():
        raise ConfigError(f"{folder} holds an adapter's settings but not its weights: there is no {WEIGHTS}")
    return AdapterSettings(base, r, alpha)


def load_adapter(policy: Policy, folder: Path) -> None:
    """Puts the weights of a folder in peft's format in the place of the policy's own adapter.

    Raises:
        ModelError: when they cannot be read, or do not fit the policy in layers, rank or width; nothing is
            changed then.
    """
    path = folder / WEIGHTS
    try:
        state = {_own_name(name): tensor for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from None
    own = policy.trainable()
    problem = _misfit({name: one.shape for name, one in own.items()}, {name: one.shape for name, one in state.items()})
    if problem is not None:
        raise ModelError(f"the adapter in {folder} does not fit: {problem}")
    policy.load_adapter_state(state)


def _own_name(name: str) -> str:
    """A parameter's name in the model: peft leaves the adapter's own name out of its files."""
    for half in ("lora_A", "lora_B"):
        name = name.replace(f".{half}.weight", f".{half}.{ADAPTER}.weight")
    return name


def _misfit(own: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """What keeps weights of the given names and shapes from being the adapter's own; None when nothing does."""
    layers, asked = _layers(given), _layers(own)
    if layers != asked:
        listed = ", ".join(f'"{one}"' for one in sorted(layers))
        return (
            f"it adapts {_spoken(layers)}, and the configuration {_spoken(asked)}; if it is an adapter of this model, "
            f"set lora.target_modules = [{listed}]"
        )
    if odd := sorted(set(own) ^ set(given)):
        where = "it has" if odd[0] in given else "it lacks"
        return f"{where} {odd[0]!r}, which the model {'lacks' if odd[0] in given else 'has'}; it is of another model"
    for name, shape in own.items():
        there = given[name]
        if ".lora_A." in name and shape[0] != there[0] and shape[1] == there[1]:
            return f"its rank is {there[0]}, and the configuration's {shape[0]}; set lora.r"
        if shape != there:
            return f"{name!r} has the shape {list(there)}, and the model's {list(shape)}; it is of another model"
    return None


def _layers(names: Mapping[str, Any]) -> frozenset[str]:
    """Last names of the adapted layers, such as `q_proj`."""
    return frozenset(name.partition(".lora_")[0].rpartition(".")[2] for name in names)


def _spoken(layers: frozenset[str]) -> str:
    return ", ".join(sorted(layers)) or "nothing"

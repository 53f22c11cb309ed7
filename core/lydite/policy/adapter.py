"""The LoRA adapter: attached by peft, saved in peft's format, computed in the base's own type.

peft keeps the adapter in fp32, which the optimiser needs, and casts the activations up to it, which costs
as much as the frozen product itself (on a CPU, more). Here the weights are cast down instead.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from lydite.config import LoraConfig
from lydite.errors import ConfigError
from lydite.suggest import did_you_mean

ADAPTER: Final = "default"  # peft's name for a model's only adapter


@dataclass(slots=True)
class Switch:
    """One switch for all layers of an adapter; off, the model is its base."""

    on: bool = True
    kept: dict[Any, Any] | None = None
    """What layers have made of the adapter while it is held; None: it may change from one call to the next."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """While open, the adapter's numbers stay as they are, and so does what its layers consist of.

        Layers then cast the one and look up the other once, however many passes go through them.
        """
        self.kept = {}
        try:
            yield
        finally:
            self.kept = None

    @contextmanager
    def anew(self) -> Iterator[None]:
        """While open, nothing that is kept is used, and nothing kept: each call makes of the adapter what it needs."""
        before, self.kept = self.kept, None
        try:
            yield
        finally:
            self.kept = before


def linear_names(trunk: nn.Module) -> list[str]:
    """Last names of the linear layers in a trunk, such as `q_proj`, in order of appearance."""
    from transformers.pytorch_utils import Conv1D

    found = {
        name.rpartition(".")[2]: None
        for name, module in trunk.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name
    }
    return list(found)


def attach_adapter(
    model: Any, trunk: nn.Module, lora: LoraConfig, family_targets: Sequence[str], seed: int, name: str
) -> tuple[Any, Switch]:
    """The model wrapped by peft with a fresh adapter in fp32, and the switch that turns it off.

    The targets are the configuration's, else the family's that this model has, else every linear layer of the
    trunk. A is drawn as peft draws it, from `seed` alone; B is zero, so that the model starts as its base.
    `name` is what the saved adapter calls its base.

    Raises:
        ConfigError: when a target of the configuration is no linear layer of the trunk.
    """
    import peft

    present = linear_names(trunk)
    for target in lora.target_modules:
        if target.rpartition(".")[2] not in present:
            raise ConfigError(
                f"lora.target_modules: the model's layers have no linear {target!r}"
                f"{did_you_mean(target.rpartition('.')[2], present)}; the output head is never adapted"
            )
    wanted = lora.target_modules or [one for one in family_targets if one in present] or present
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of tied embeddings, which no target touches
        settings = peft.LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=_targets(model, trunk, wanted),
            bias="none",
            task_type="CAUSAL_LM",
        )
        wrapped = peft.get_peft_model(model, settings)
    wrapped.peft_config[ADAPTER].base_model_name_or_path = name
    switch = Switch()
    draws = torch.Generator().manual_seed(seed)
    for layer in adapted_layers(wrapped):
        first, second = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        fresh = torch.empty(first.shape, dtype=torch.float32)
        nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=draws)
        with torch.no_grad():
            first.data = fresh.to(first.device)
            second.data = torch.zeros_like(second, dtype=torch.float32)
        layer.forward = functools.partial(_forward, layer, switch)
    return wrapped, switch


def adapted_layers(wrapped: nn.Module) -> list[Any]:
    """The linear layers that carry the adapter, in the model's order."""
    return [module for module in wrapped.modules() if ADAPTER in getattr(module, "lora_A", ())]


def _targets(model: nn.Module, trunk: nn.Module, wanted: Sequence[str]) -> list[str]:
    """Short names where they mean layers of the trunk alone, else the full name of each of those layers."""
    inside = set(trunk.modules())

    def means(name: str) -> bool:
        return any(name == one or name.endswith("." + one) for one in wanted)

    hits = {name: module for name, module in model.named_modules() if means(name) and not list(module.children())}
    if all(module in inside for module in hits.values()):
        return list(wanted)
    return [name for name, module in hits.items() if module in inside]


def _forward(layer: Any, switch: Switch, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The base's product plus `alpha / r * B A x`, all in the type of the base's product."""
    base: Tensor = layer.base_layer(x, *args, **kwargs)
    if not switch.on or layer.disable_adapters or layer.merged:
        return base
    down, up = layer.lora_A[ADAPTER].weight.to(base.dtype), layer.lora_B[ADAPTER].weight.to(base.dtype)
    dropped = layer.lora_dropout[ADAPTER](x.to(base.dtype)).reshape(-1, x.shape[-1])
    flat = base.reshape(-1, base.shape[-1])
    low = nn.functional.linear(dropped, down)
    return torch.addmm(flat, low, up.t(), alpha=layer.scaling[ADAPTER]).view(base.shape)

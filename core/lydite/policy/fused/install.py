"""Fused forwards put onto the layers of a model that are known, once each kind has passed a trial.

The environment variable `LYDITE_KERNELS=layers` (or `off`) leaves the layers of transformers as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from lydite.kernels.nf4_linear import FUSED_ROWS
from lydite.kernels.switch import LAYERS, VARIABLE, is_turned_off
from lydite.policy.adapter import ADAPTER, Switch
from lydite.policy.evaluating import evaluating
from lydite.policy.fused.attention import attention_forward, is_attention
from lydite.policy.fused.mlp import is_mlp, mlp_forward
from lydite.policy.fused.norm import is_norm, norm_forward
from lydite.policy.fused.trial import differs
from lydite.policy.nf4 import is_nf4

logger = logging.getLogger("lydite")

# Enough to mix, and on a CPU as much work for a large model as reading its weights. On a GPU more rows than the fused
# product takes, so that the trial unpacks weights as training does.
_TRIAL_TOKENS: Final = {"cpu": 12, "cuda": FUSED_ROWS + 8}


@dataclass(frozen=True, slots=True)
class FusedLayers:
    """How many layers of one class have a fused forward, and why others of it have none."""

    name: str
    """The class, such as `LlamaMLP`."""
    fused: int
    count: int
    why_not: str

    def with_more(self, count: int, why_not: str | None) -> FusedLayers:
        """The same with that many more layers of the class, fused unless there is a reason not to."""
        fused = self.fused + (0 if why_not else count)
        return FusedLayers(self.name, fused, self.count + count, self.why_not or why_not or "")

    def __str__(self) -> str:
        return f"{self.name}: {self.fused} of {self.count} fused" + (f" ({self.why_not})" if self.why_not else "")


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    module: Any
    make: Callable[[], Callable[..., Any]]
    refused: str | None


def install_fused_layers(trunk: nn.Module, switch: Switch) -> list[FusedLayers]:
    """What is fused of a trunk with an adapter, class by class; its attention, MLP and norm layers are changed.

    A layer is taken when its class is known, its linear layers are frozen ones in 16 or 32 bit or NF4 with at most
    plain LoRA, and one of its class, built alike, gave the same output and gradients as with its own forward on the
    input that it had in a short run of the model. Weights stay where they are, and names as they were.
    """
    if is_turned_off(LAYERS):
        logger.debug("layers are those of transformers: %s turns fused ones off", VARIABLE)
        return []
    kinds: dict[tuple[Any, ...], list[_Candidate]] = {}
    for module in trunk.modules():
        if (one := _candidate(module, switch)) is not None:
            kinds.setdefault((one.refused, *_built(module)), []).append(one)
    states: dict[str, FusedLayers] = {}
    with evaluating(trunk):
        inputs = _inputs_of(trunk, [members[0].module for members in kinds.values()])
        for members in kinds.values():
            name = type(members[0].module).__name__
            why_not = _why_not(members[0], inputs.get(members[0].module))
            if why_not is None:
                for one in members:
                    one.module.forward = one.make()
            states[name] = states.get(name, FusedLayers(name, 0, 0, "")).with_more(len(members), why_not)
    for state in states.values():
        logger.debug("layers: %s", state)
    return list(states.values())


def _candidate(module: nn.Module, switch: Switch) -> _Candidate | None:
    if is_norm(module):
        return _Candidate(module, lambda: norm_forward(module), None)
    if is_attention(module):
        return _Candidate(module, lambda: attention_forward(module, switch), _unfit(module))
    if is_mlp(module):
        return _Candidate(module, lambda: mlp_forward(module, switch), _unfit(module))
    return None


def _unfit(module: Any) -> str | None:
    """Why the linear layers of a module are not ones that a group takes, or None."""
    for name, layer in module.named_children():
        if not name.endswith("_proj"):
            continue
        base: Any = layer
        if ADAPTER in getattr(layer, "lora_A", ()):
            base = layer.base_layer
            plain = set(layer.lora_A) == {ADAPTER} and not layer.lora_variant and not layer.lora_bias.get(ADAPTER)
            if not plain or getattr(layer, "fan_in_fan_out", False):
                return f"the adapter of {name} is not plain LoRA"
        if type(base) is not nn.Linear and not is_nf4(base):
            return f"{name} is a {type(base).__name__}"
        if any(one.requires_grad for one in base.parameters()):
            return f"{name} itself is trained"
    return None


def _built(module: nn.Module) -> tuple[Any, ...]:
    """What layers built alike have in common: class, sizes, and the kinds of their linear layers."""
    parts = tuple(
        (name, type(one), tuple(getattr(one, "weight", torch.empty(0)).shape))
        for name, one in module.named_modules()
        if not list(one.children())
    )
    windowed = getattr(module, "sliding_window", None), getattr(module, "use_rope", None)
    return (type(module), windowed, parts)


def _why_not(one: _Candidate, given: tuple[tuple[Any, ...], dict[str, Any]] | None) -> str | None:
    """Why a layer is left alone; None when a trial on these arguments says that it need not be."""
    if one.refused is not None:
        return one.refused
    if given is None:
        return "the model's own forward does not reach it"
    found = differs(one.module, one.make(), *given)
    if found is not None:  # a layer that we know computes something else: slower than it could be, and not wrong
        logger.warning("%s is computed as transformers does: %s", type(one.module).__name__, found)
    return found


def _inputs_of(trunk: Any, modules: list[nn.Module]) -> dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments that each module gets in a run of the trunk over a few tokens, without a cache."""
    seen: dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.setdefault(module, (args, kwargs))

    hooks = [module.register_forward_pre_hook(remember, with_kwargs=True) for module in modules]
    embeddings = trunk.get_input_embeddings().weight
    tokens = _TRIAL_TOKENS[embeddings.device.type]
    ids = torch.arange(1, tokens + 1, device=embeddings.device)[None] % embeddings.shape[0]
    try:
        with torch.no_grad():
            trunk(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                position_ids=torch.arange(tokens, device=ids.device)[None],
                use_cache=False,
            )
    finally:
        for hook in hooks:
            hook.remove()
    return seen

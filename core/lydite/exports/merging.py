"""Base and adapter as one weight, and the plain model that is made of such weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lydite.policy import Policy
from lydite.policy.adapter import ADAPTER
from lydite.policy.nf4 import is_nf4, unpacked

_BASE = ".base_layer"


@torch.no_grad()
def merged_tensors(policy: Policy, *, merge: bool = True) -> Iterator[tuple[str, Tensor]]:
    """The model's parameters and persistent buffers by name, one after another, the adapter merged in float32.

        W' = W + (alpha / r) B A

    W is the very number that the policy multiplies by: the weight in the type it is held in or, in 4 bit, unpacked to
    the computing type, as each product of the policy does. Nothing is rounded here; whoever writes the numbers rounds
    them once. A tied weight comes under each of its names. Under full fine-tuning W is the trained weight. Without
    `merge` it is W alone.

    Source: Hu et al. 2021, LoRA (arXiv 2106.09685), section 4.1.
    """
    carriers = {name + _BASE: one for name, one in policy.causal.named_modules() if _carries(one)}
    for name, module in policy.causal.named_modules():
        if any(part.startswith("lora_") for part in name.split(".")):
            continue
        plain = name.replace(_BASE, "")
        for key, parameter in module.named_parameters(recurse=False):
            value = unpacked(module) if key == "weight" and is_nf4(module) else parameter.detach()
            value = value.float()
            if merge and key == "weight" and name in carriers:
                value = value + adapter_product(carriers[name])
            yield f"{plain}.{key}", value
        for key, buffer in module.named_buffers(recurse=False):
            if key not in module._non_persistent_buffers_set:
                yield f"{plain}.{key}", buffer.detach()


def adapter_product(layer: Any) -> Tensor:
    """(alpha / r) B A of an adapted layer, in float32 and in the shape of the layer's weight."""
    product: Tensor = layer.lora_B[ADAPTER].weight.float() @ layer.lora_A[ADAPTER].weight.float()
    product = product * float(layer.scaling[ADAPTER])
    return product.t() if getattr(layer, "fan_in_fan_out", False) else product


def plain_model(policy: Policy, dtype: torch.dtype, *, merge: bool = True) -> Any:
    """The policy's model as transformers has it: no adapter's layers or packed weights, rounded to `dtype` once.

    Its generation settings end an answer where the run's answers ended.
    """
    config = copy.deepcopy(policy.config)
    config.dtype = dtype
    with torch.device("meta"):
        model = type(policy.causal)._from_config(config, dtype=dtype)
    rounded = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in merged_tensors(policy, merge=merge)
    }
    model.load_state_dict(rounded, assign=True)
    model.tie_weights()
    model.generation_config = generation_settings(policy)
    return model.eval()


def generation_settings(policy: Policy) -> Any:
    """The base's generation settings, ending an answer where the run's answers ended."""
    settings = copy.deepcopy(policy.causal.generation_config)
    settings.eos_token_id = list(policy.stop_token_ids)
    settings.pad_token_id = policy.pad_token_id
    return settings


def _carries(module: Any) -> bool:
    return ADAPTER in getattr(module, "lora_A", ())

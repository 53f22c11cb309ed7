"""Linear layers that read one input, with peft's LoRA on some of them.

from support.lora_layers import make_lora_layers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lydite.policy.adapter import ADAPTER


def make_lora_layers(
    outs: Sequence[int],
    *,
    width: int = 64,
    rank: int = 4,
    adapted: Sequence[int] | None = None,
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
    nf4: bool = False,
    **settings: Any,
) -> list[Any]:
    """Layers of `outs` features each; peft's plain LoRA with a random B on those in `adapted`, by default on all."""
    import peft

    draws = torch.Generator().manual_seed(len(outs) + width + rank)
    holder: Any = nn.ModuleDict({f"part{place}": nn.Linear(width, out, bias=bias) for place, out in enumerate(outs)})
    for one in holder.parameters():
        one.data = (torch.randn(one.shape, generator=draws) * width**-0.5).to(dtype)
        one.requires_grad_(False)
    if nf4:
        from lydite.policy.nf4 import quantise_linears

        quantise_linears(holder, keep_16bit=(), skip=(), dtype=dtype, device=torch.device("cpu"))
    places = range(len(outs)) if adapted is None else adapted
    if places:
        names = [f"part{place}" for place in places]
        config = peft.LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=names, **settings)
        peft.inject_adapter_in_model(config, holder)
    found = [holder[f"part{place}"] for place in range(len(outs))]
    for layer in found:
        if hasattr(layer, "lora_A"):
            for one in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]):
                wide = torch.float64 if dtype is torch.float64 else torch.float32
                one.weight.data = torch.randn(one.weight.shape, generator=draws).to(wide) * 0.3
    return found

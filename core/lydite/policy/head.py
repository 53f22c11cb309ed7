"""The last layer of a language model as plain tensors, so that nobody needs its logits as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Head:
    """What turns hidden states [N, H] into logits [N, V].

    The logits of a hidden state h are `z = logit_scale * (weight @ h + bias)`, and
    `softcap * tanh(z / softcap)` in the families that bound them (Gemma 2). The sampling temperature is
    no part of the head.
    """

    weight: Tensor
    """[V, H], in the model's own type; one storage with the embeddings where the two are tied."""
    bias: Tensor | None = None
    """[V], or None."""
    logit_scale: float = 1.0
    """Factor on the logits (Cohere's `logit_scale`; 1 / Granite's `logits_scaling`)."""
    softcap: float | None = None
    """Bound on the logits (Gemma 2's `final_logit_softcapping`), or None."""

    @property
    def trainable(self) -> bool:
        """True when the head itself is trained, as in full fine-tuning."""
        return self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)


def head_of(causal: Any) -> Head:
    """The output head of a causal model as plain tensors."""
    layer, text = causal.get_output_embeddings(), causal.config.get_text_config(decoder=True)
    scale = float(getattr(text, "logit_scale", None) or getattr(text, "lm_head_multiplier", None) or 1.0)
    if divisor := getattr(text, "logits_scaling", None):
        scale /= float(divisor)
    softcap = getattr(text, "final_logit_softcapping", None)
    return Head(layer.weight, getattr(layer, "bias", None), scale, None if softcap is None else float(softcap))


def head_product(hidden: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """`weight @ h + bias` of hidden states [N, H], as [N, V]: float32 on a GPU, else in the weight's type.

    A GPU sums 16-bit products in float32 anyway, and gives the sums away unrounded for nothing. Rounded to bfloat16,
    a logit of 16 is off by up to 0.06, which is most of what trainer and sampler differ by. `out`, of the type that
    `product_type` says, is filled and returned where it is given.
    """
    given = hidden.to(weight.dtype)
    if product_type(weight) is weight.dtype:
        if out is None:
            return F.linear(given, weight, bias)
        if bias is None:
            return torch.mm(given, weight.t(), out=out)
        return torch.addmm(bias, given, weight.t(), out=out)
    if out is None:
        product = torch.mm(given, weight.t(), out_dtype=torch.float32)
    else:
        product = torch.mm(given, weight.t(), out_dtype=torch.float32, out=out)
    return product if bias is None else product.add_(bias)


def product_type(weight: Tensor) -> torch.dtype:
    """The type of `head_product`'s numbers."""
    return torch.float32 if weight.is_cuda and weight.dtype.itemsize == 2 else weight.dtype

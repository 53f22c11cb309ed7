"""Whether an export's tensors are the policy's, each number to within the rounding of the type that it is kept in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from lydite.policy import Policy
from lydite.policy.adapter import ADAPTER
from lydite.policy.nf4 import is_nf4, unpacked

_BITS: Final[Mapping[str, int]] = {"float32": 24, "float16": 11, "bfloat16": 8}
"""Significant bits of a number."""
_LEAST: Final[Mapping[str, int]] = {"float32": -126, "float16": -14, "bfloat16": -126}
"""Exponent of the least number that has all of them."""
_BLOCK: Final = 32  # numbers that share a scale in q8_0
_SCALE: Final = 127 * 2.0**-25  # what its rounding comes to where it is next to nothing
_SUMMED: Final = 1e-6  # of a number: base and adapter added in float32 in another order
_SHIFTED: Final = 2.0**-23  # a vector that was kept as 1 + w, as a GGUF file keeps Gemma's norms
_SPARE: Final = 1.02
ROUNDED: Final = (*_BITS, "q8_0")
"""Types whose rounding is known to the last bit; the coarser ones are compared by what comes out of them alone."""


@torch.no_grad()
def unlike_tensors(policy: Policy, tensors: Mapping[str, Tensor], kind: str) -> tuple[str, ...]:
    """Names of the policy's parameters that an export lacks, or has further off than rounding to `kind` goes.

    The adapter's part is peft's own product, so that a mistake in the merging here is not made twice. One layer that
    was left out shows here even where its log-probabilities drown in the rounding of all the others.
    """
    return tuple(
        name
        for name, expected in _parameters(policy)
        if name not in tensors or not _near(tensors[name].to(expected.device, torch.float32), expected, kind)
    )


def _parameters(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """What the policy multiplies by, in float32, by the names of the plain model; a tied weight once."""
    seen: set[int] = set()
    for name, module in policy.causal.named_modules():
        if any(part.startswith("lora_") for part in name.split(".")) or name.endswith(".base_layer"):
            continue
        holder: Any = getattr(module, "base_layer", module)
        for key, parameter in holder.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            value = unpacked(holder) if key == "weight" and is_nf4(holder) else parameter.detach()
            value = value.float()
            if key == "weight" and holder is not module:
                value = value + module.get_delta_weight(ADAPTER).float()
            yield f"{name}.{key}", value


def _near(given: Tensor, expected: Tensor, kind: str) -> bool:
    if given.shape != expected.shape:
        return False
    if kind == "q8_0" and expected.ndim > 1 and expected.shape[-1] % _BLOCK == 0:
        blocks = expected.reshape(-1, _BLOCK).abs().amax(-1, keepdim=True).expand(-1, _BLOCK)
        scale = expected.abs() * 2.0 ** -_BITS["float16"] + _SCALE  # which is itself a float16
        room = blocks.reshape(expected.shape) * (0.5 / 127) + scale
    else:
        room = _half_a_step(expected, "float16" if kind == "q8_0" else kind)
    room = (
        _SPARE * room + _SUMMED * (expected.abs() + expected.abs().mean()) + (_SHIFTED if expected.ndim == 1 else 0.0)
    )
    return bool(((given - expected).abs() <= room).all())


def _half_a_step(number: Tensor, kind: str) -> Tensor:
    """Half the distance between a number's neighbours in a type: the most that rounding to it moves the number."""
    exponent = (torch.frexp(number).exponent - 1).clamp(min=_LEAST[kind])
    return torch.ldexp(torch.ones_like(number), exponent - _BITS[kind])

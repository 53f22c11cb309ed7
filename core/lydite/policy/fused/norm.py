"""The forward of an RMSNorm layer whose weight is frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lydite.kernels.rms_norm import rms_norm
from lydite.policy.fused.families import known_as


@dataclass(frozen=True, slots=True)
class NormKind:
    """How a family computes its norm: what is added to the weight, and whether they multiply before they round."""

    offset: float
    weight_in_float32: bool


_LLAMA = NormKind(0.0, weight_in_float32=False)
_GEMMA = NormKind(1.0, weight_in_float32=True)


def is_norm(module: nn.Module) -> bool:
    """True for an RMSNorm of a known family with a frozen weight and nothing else."""
    parameters = dict(module.named_parameters())
    built = list(parameters) == ["weight"] and _epsilon(module) is not None
    return known_as(module, "RMSNorm") is not None and built and not parameters["weight"].requires_grad


def norm_forward(module: Any) -> Callable[[Tensor], Tensor]:
    """A forward that gives what the layer's own gives; its own for an input of another type than the weight's."""
    own, epsilon = module.forward, _epsilon(module)
    assert epsilon is not None
    kind = _GEMMA if (known_as(module, "RMSNorm") or "").startswith("Gemma") else _LLAMA

    def forward(hidden_states: Tensor) -> Tensor:
        if hidden_states.dtype is not module.weight.dtype:
            result: Tensor = own(hidden_states)
            return result
        return rms_norm(
            hidden_states, module.weight, epsilon, offset=kind.offset, weight_in_float32=kind.weight_in_float32
        )

    return forward


def _epsilon(module: nn.Module) -> float | None:
    found: Any = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return float(found) if isinstance(found, float) else None

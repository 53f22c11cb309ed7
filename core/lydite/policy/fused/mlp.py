"""The forward of a gated MLP, whose hidden product is computed again in the backward pass instead of kept.

    Y = down(act(gate(X)) * up(X))

The product has as many numbers as gate and up have each, which are kept: without it a layer's MLP keeps two thirds,
for one pass over numbers that the backward pass reads anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lydite.kernels.glu import Activation, gated
from lydite.policy.adapter import Switch
from lydite.policy.fused.families import known_as
from lydite.policy.fused.lora_group import LinearGroup, Lora, is_hooked

_LAYOUTS: Final = ({"gate_proj", "up_proj", "down_proj", "act_fn"}, {"gate_up_proj", "down_proj", "activation_fn"})
_ACTIVATIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    "silu": F.silu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "gelu": F.gelu,
}


def is_mlp(module: nn.Module) -> bool:
    """True for a gated MLP of a known family that is built as expected, with an activation that is known."""
    children = {name for name, _ in module.named_children()}
    return known_as(module, "MLP") is not None and children in _LAYOUTS and _activation_of(module) is not None


def mlp_forward(module: Any, switch: Switch) -> Callable[[Tensor], Tensor]:
    """A forward that gives what the layer's own gives."""
    joined = hasattr(module, "gate_up_proj")
    group = LinearGroup([module.gate_up_proj] if joined else [module.gate_proj, module.up_proj], switch)
    down = LinearGroup([module.down_proj], switch)
    function, activation = _function_of(module), _activation_of(module)
    assert activation is not None, "is_mlp says which layers are taken"

    def forward(x: Tensor) -> Tensor:
        parts = group(x)
        gate, up = parts[0].chunk(2, dim=-1) if joined else parts
        if is_hooked(function):
            (result,) = down(function(gate) * up)
        elif (lora := down.lora(gate.dtype)) is not None:
            result = _GatedDown.apply(gate, up, activation, down, lora, *lora.masters)  # type: ignore[no-untyped-call]
        else:
            (result,) = down(gated(gate, up, activation))
        return result

    return forward


class _GatedDown(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gate: Tensor, up: Tensor, activation: Activation, down: LinearGroup, lora: Lora, *masters: Tensor
    ) -> Tensor:
        (result,), low = down.outputs(gated(gate, up, activation).view(-1, gate.shape[-1]), lora)
        ctx.activation, ctx.down, ctx.lora = activation, down, lora.with_matrices(())
        ctx.save_for_backward(gate, up, *(() if low is None else (low, *lora.matrices)))
        return result.view(*gate.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        down: LinearGroup = ctx.down
        gate, up, *kept = ctx.saved_tensors
        lora = ctx.lora.with_matrices(kept[1:])
        flat = [gradient.reshape(-1, gradient.shape[-1])]
        low_gradient = down.low_gradient(flat, lora)
        gate, up = gate.detach().requires_grad_(), up.detach().requires_grad_()
        with torch.enable_grad():
            product = gated(gate, up, ctx.activation)
        by_masters: tuple[Tensor | None, ...] = ()
        if low_gradient is not None:
            x = product.detach().view(-1, product.shape[-1])
            by_masters = down.adapter_gradients(x, kept[0], flat, low_gradient, lora)
        by_product = down.input_gradient(flat, low_gradient, lora).view(product.shape)
        by_gate, by_up = torch.autograd.grad(product, (gate, up), by_product)
        return by_gate, by_up, None, None, None, *by_masters


def _function_of(module: Any) -> nn.Module:
    function: nn.Module = module.activation_fn if hasattr(module, "activation_fn") else module.act_fn
    return function


def _activation_of(module: nn.Module) -> Activation | None:
    """The name of its activation, found by what it computes."""
    x = torch.linspace(-6.0, 6.0, 97)  # erf and tanh differ by up to 5e-4 there, far above float32's rounding
    with torch.no_grad():
        made = _function_of(module)(x)
        return next((name for name, known in _ACTIVATIONS.items() if torch.allclose(made, known(x), atol=1e-6)), None)

"""A layer that keeps its input alone, and whose forward pass is done again in its backward pass.

As `torch.utils.checkpoint` does, for the layers of which nothing more is to be known than their input: it watches each
tensor that is saved inside, and puts random states aside and back, which is a tenth of what the host does for a pass.
Here the forward pass runs without a graph, and the backward pass makes one and asks it for the gradients of the layer's
input and of its trained parameters.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost (arXiv 1604.06174), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lydite.policy.fused.families import known_as


def computes_plainly(layer: nn.Module) -> bool:
    """True for a layer of a known family whose output follows from its input and its parameters, without draws.

    The other arguments of such a layer, positions and masks, have no gradient.
    """
    known = any(known_as(module, "Attention") is not None for module in layer.modules())
    return known and not any(_draws(module) for module in layer.modules())


def computed_again(forward: Callable[[Tensor], Tensor], hidden: Tensor, trained: Sequence[Tensor]) -> Tensor:
    """`forward(hidden)` of a layer with these trained parameters, of which autograd keeps `hidden` and nothing else.

    Saved-tensor hooks that are open see it, and nothing of what is computed. Autocast is not to be on: the backward
    pass would know nothing of it.
    """
    found: Tensor = _Again.apply(hidden, forward, *trained)  # type: ignore[no-untyped-call]
    return found


class _Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, forward: Callable[[Tensor], Tensor], *trained: Tensor) -> Tensor:
        ctx.save_for_backward(hidden)
        ctx.forward, ctx.trained = forward, trained  # the latter are there anyway, and not for the hooks
        return forward(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (hidden,) = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0]
        hidden = hidden.detach().requires_grad_(wanted)
        with torch.enable_grad():
            output = ctx.forward(hidden)
        inputs = (hidden, *ctx.trained) if wanted else ctx.trained
        found = torch.autograd.grad(output, inputs, gradient, allow_unused=True)
        by_hidden, by_trained = (found[0], found[1:]) if wanted else (None, found)
        return by_hidden, None, *by_trained


def _draws(module: nn.Module) -> bool:
    """True where a module drops numbers at random in training."""
    drops = isinstance(module, nn.Dropout) and module.p > 0.0
    return drops or bool(getattr(module, "attention_dropout", 0.0))

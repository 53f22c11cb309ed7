"""Linear layers that read the same input, with their LoRA parts, as one function with its gradient.

    Y_i = X W_i^T + b_i + s_i (X A_i^T) B_i^T
    dX  = sum_i dY_i W_i + s_i (dY_i B_i) A_i,   dA_i = s_i (dY_i B_i)^T X,   dB_i = s_i dY_i^T (X A_i^T)

All A_i are one matrix [sum of r, in], so that the small products with X and the sums over its rows are one each, and
dX is one tensor that every term is added to. A and B are cast down to the type of X, as `policy.adapter` does; their
gradients are summed and kept in float32. A packed weight is unpacked once forward and once backward, and neither it
nor the output is kept: what stays for the gradient is X, X A^T [rows, sum of r], and A and B as they were cast.

Source: Hu et al. 2021, LoRA (arXiv 2106.09685), equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lydite.policy.adapter import ADAPTER, Switch
from lydite.policy.fused.frozen import FrozenLinear

Gradients = Sequence[Tensor | None]


@dataclass(frozen=True, slots=True, eq=False)
class Lora:
    """The adapter of some of a group's layers: A [r, in] and B [out, r], the A end to end in X A^T."""

    places: tuple[int, ...]
    """Which of the layers are adapted."""
    scaling: tuple[float, ...]
    ranks: tuple[int, ...]
    masters: tuple[Tensor, ...]
    """All A, then all B, as they are trained."""
    matrices: tuple[Tensor, ...]
    """The same in the type of what they multiply: all A, one below the other, [sum of r, in], then each B."""

    def with_matrices(self, matrices: Sequence[Tensor]) -> Lora:
        """The same with its matrices as autograd hands them on."""
        return replace(self, matrices=tuple(matrices))

    @property
    def down(self) -> Tensor:
        """All A, [sum of r, in]."""
        return self.matrices[0]

    def parts(self, low: Tensor) -> Iterator[tuple[int, Tensor, float, Tensor]]:
        """Of each adapted layer its place, its part [rows, r] of something [rows, sum of r], its scaling and its B."""
        columns: tuple[Tensor, ...] = low.split(self.ranks, dim=1)
        return zip(self.places, columns, self.scaling, self.matrices[1:], strict=True)


class LinearGroup:
    """Layers that read the same input: `group(x)` is the tuple of what each makes of it.

    The other methods are the pieces of that function and of its gradient, on tensors of two dimensions.
    """

    def __init__(self, layers: Sequence[Any], switch: Switch) -> None:
        self.layers = tuple(layers)
        self._frozen = tuple(FrozenLinear(layer.base_layer if _carries(layer) else layer) for layer in layers)
        self._switch = switch
        self._inner = tuple(module for layer in layers for module in layer.modules())

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs [..., out] of x [..., in], one for each layer."""
        lora = self.lora(x.dtype)
        if lora is None:
            return tuple(layer(x) for layer in self.layers)
        outputs: tuple[Tensor, ...] = _Group.apply(x, self, lora, *lora.masters)  # type: ignore[no-untyped-call]
        return outputs

    def lora(self, dtype: torch.dtype) -> Lora | None:
        """The adapter as it is switched now, for inputs of this type.

        None where a layer does more than multiply: dropout, somebody's hook, an input of another type.
        """
        kept, key = self._switch.kept, (id(self), self._switch.on, dtype)
        if kept is not None and key in kept:
            found: Lora = kept[key]
            return found
        if not self._fuses(dtype):
            return None
        lora = self._cast(dtype)
        if kept is not None:
            kept[key] = lora
        return lora

    def _fuses(self, dtype: torch.dtype) -> bool:
        return (
            all(frozen.dtype is dtype for frozen in self._frozen)
            and not any(is_hooked(module) for module in self._inner)
            and all(_is_undropped(layer) for layer in self.layers)
        )

    @torch.no_grad()
    def _cast(self, dtype: torch.dtype) -> Lora:
        places = tuple(place for place, layer in enumerate(self.layers) if self._switch.on and _is_applied(layer))
        layers = [self.layers[place] for place in places]
        a = [layer.lora_A[ADAPTER].weight for layer in layers]
        b = [layer.lora_B[ADAPTER].weight for layer in layers]
        down = [one.to(dtype) for one in a]
        return Lora(
            places,
            tuple(float(layer.scaling[ADAPTER]) for layer in layers),
            tuple(one.shape[0] for one in a),
            (*a, *b),
            () if not down else (down[0] if len(down) == 1 else torch.cat(down), *(one.to(dtype) for one in b)),
        )

    def outputs(self, x: Tensor, lora: Lora) -> tuple[list[Tensor], Tensor | None]:
        """Each layer's output [rows, out], and x A^T [rows, sum of r] where there is an adapter."""
        outputs = [frozen.product(x) for frozen in self._frozen]
        if not lora.places:
            return outputs, None
        low = x @ lora.down.t()
        for place, part, scale, up in lora.parts(low):
            outputs[place].addmm_(part, up.t(), alpha=scale)
        return outputs, low

    def low_gradient(self, gradients: Gradients, lora: Lora) -> Tensor | None:
        """The loss by x A^T [rows, sum of r], from the loss by the outputs."""
        if not lora.places:
            return None
        given = next(one for one in gradients if one is not None)
        low = given.new_empty((given.shape[0], sum(lora.ranks)))
        for place, part, scale, up in lora.parts(low):
            gradient = gradients[place]
            if gradient is None:
                part.zero_()
            else:
                part.addmm_(gradient, up, beta=0, alpha=scale)
        return low

    def input_gradient(self, gradients: Gradients, low: Tensor | None, lora: Lora) -> Tensor:
        """The loss by x [rows, in]."""
        total: Tensor | None = None
        for frozen, gradient in zip(self._frozen, gradients, strict=True):
            if gradient is None:
                continue
            weight = frozen.weight()
            total = gradient @ weight if total is None else total.addmm_(gradient, weight)
        assert total is not None, "autograd asks for no gradient when it has none"
        return total if low is None else total.addmm_(low, lora.down)

    def adapter_gradients(
        self, x: Tensor, low: Tensor, gradients: Gradients, low_gradient: Tensor, lora: Lora
    ) -> tuple[Tensor | None, ...]:
        """The loss by each A and then by each B, in their own type; `low` is x A^T."""
        downs = _product_in_float32(low_gradient.t(), x).split(lora.ranks)
        ups: list[Tensor | None] = []
        for place, part, scale, _ in lora.parts(low):
            gradient = gradients[place]
            ups.append(None if gradient is None else _product_in_float32(gradient.t(), part).mul_(scale))
        found = zip((*downs, *ups), lora.masters, strict=True)
        return tuple(None if one is None else one.to(master.dtype) for one, master in found)


class _Group(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: LinearGroup, lora: Lora, *masters: Tensor) -> tuple[Tensor, ...]:
        outputs, low = group.outputs(x.reshape(-1, x.shape[-1]), lora)
        ctx.group, ctx.lora = group, lora.with_matrices(())
        ctx.set_materialize_grads(False)
        if low is not None:  # without an adapter nothing is needed again
            ctx.save_for_backward(x, low, *lora.matrices)
        return tuple(one.view(*x.shape[:-1], -1) for one in outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        group: LinearGroup = ctx.group
        x, low, *matrices = ctx.saved_tensors if ctx.lora.places else (None, None)
        lora = ctx.lora.with_matrices(matrices)
        given = next((one for one in gradients if one is not None), None)
        if given is None:
            return (None,) * (3 + len(lora.masters))
        flat = [None if one is None else one.reshape(-1, one.shape[-1]) for one in gradients]
        low_gradient = group.low_gradient(flat, lora)
        by_x: Tensor | None = None
        if ctx.needs_input_grad[0]:
            by_x = group.input_gradient(flat, low_gradient, lora).view(*given.shape[:-1], -1)
        if low_gradient is None or x is None or low is None:
            return by_x, None, None
        by_masters = group.adapter_gradients(x.reshape(-1, x.shape[-1]), low, flat, low_gradient, lora)
        return by_x, None, None, *by_masters


def is_hooked(module: nn.Module) -> bool:
    """True where calling the module does more than its forward."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _product_in_float32(left: Tensor, right: Tensor) -> Tensor:
    if left.dtype.itemsize > 2:
        return left @ right
    if left.device.type == "cuda":
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).float()  # summed in float32, and rounded once


def _carries(layer: Any) -> bool:
    return ADAPTER in getattr(layer, "lora_A", ())


def _is_applied(layer: Any) -> bool:
    return _carries(layer) and not layer.disable_adapters and not layer.merged


def _is_undropped(layer: Any) -> bool:
    if not _carries(layer):
        return True
    dropout = layer.lora_dropout[ADAPTER]
    return not dropout.training or getattr(dropout, "p", 0.0) == 0.0

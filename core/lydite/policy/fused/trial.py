"""Whether another forward of a layer gives what its own gives: a trial with the adapter's B drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from lydite.policy.adapter import ADAPTER, adapted_layers

# Of the norm of what is compared: float32 products whose sums have another order stay below a tenth of the first;
# in 16 bit every number is rounded by 2^-9 of itself, several times on its way, and what is wrong is off by far more.
TOLERANCE: Final = {4: 1e-4, 2: 0.05}


def differs(module: Any, ours: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
    """What of `ours` is not that of the module's own forward, on these arguments; None when all agrees.

    Compared are the output, and the gradients of the input and of the adapter's A and B.
    """
    with _drawn(module), torch.enable_grad():
        try:
            expected = _run(module, module.forward, args, kwargs)
            found = _run(module, ours, args, kwargs)
        except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
            return f"its trial fails: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    for name, one, other in zip(("output", "input's gradient", "adapter's gradient"), found, expected, strict=True):
        scale = float(other.norm())
        difference = float((one - other).norm())
        if one.shape != other.shape or not difference <= TOLERANCE[_size(args, kwargs)] * scale:
            return f"in its trial the {name} differs by {difference:.2g} of {scale:.2g}"
    return None


def _run(
    module: nn.Module, forward: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the input, and gradients of the adapter end to end, in float32."""
    place, given = _input_of(args, kwargs)
    x = given.detach().clone().requires_grad_()
    if isinstance(place, int):
        args = [*args[:place], x, *args[place + 1 :]]
    else:
        kwargs = {**kwargs, place: x}
    masters = [one for one in module.parameters() if one.requires_grad]
    made = forward(*args, **kwargs)
    output: Tensor = made[0] if isinstance(made, tuple) else made
    # A plain sum would not see what a norm does to its rows.
    weights = torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype, device=output.device).view(output.shape)
    by_x, *by_masters = torch.autograd.grad(output, [x, *masters], weights, materialize_grads=True)
    adapter = [one.flatten().float() for one in by_masters] or [torch.zeros(0, device=by_x.device)]
    return output.detach().float(), by_x.float(), torch.cat(adapter)


def _input_of(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[int | str, Tensor]:
    """Where the hidden states are: the first argument, or the keyword of that name."""
    if args:
        return 0, args[0]
    return "hidden_states", kwargs["hidden_states"]


def _size(args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    return min(4, _input_of(args, kwargs)[1].dtype.itemsize)


@contextmanager
def _drawn(module: nn.Module) -> Iterator[None]:
    """While open, every B below the module is random: as it starts, at zero, it would hide what is wrong."""
    draws = torch.Generator().manual_seed(0)
    ups = [layer.lora_B[ADAPTER].weight for layer in adapted_layers(module)]
    before = [one.data for one in ups]
    try:
        for one in ups:
            one.data = (0.1 * torch.randn(one.shape, generator=draws)).to(one.device, one.dtype)
        yield
    finally:
        for one, data in zip(ups, before, strict=True):
            one.data = data

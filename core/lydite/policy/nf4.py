"""The frozen base in 4 bit: NF4, block 64, double-quantised, through bitsandbytes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psutil
import torch
from torch import nn

from lydite.errors import ConfigError, MissingExtraError
from lydite.kernels.nf4 import BLOCK

_COPY: Final = "unpacked_copy"  # what an NF4 layer's copy is called among its attributes


def quantise_linears(
    model: nn.Module,
    *,
    keep_16bit: Sequence[str],
    skip: Collection[nn.Module],
    dtype: torch.dtype,
    device: torch.device,
) -> list[str]:
    """The names of the linear layers that are now NF4, quantised one after another on `device`.

    A layer stays as it is when it is in `skip`, when an entry of `keep_16bit` is its name or a part of it, and
    on a CPU when its rows do not divide into blocks. Blocks of 64 weights share a scale, and 256 of those
    scales a second one: 0.516 bytes a weight.

    Raises:
        ConfigError: when an entry of `keep_16bit` is in no layer's name, or no layer is left to quantise.
        MissingExtraError: when bitsandbytes is not installed.
    Source: Dettmers et al. 2023, QLoRA (arXiv 2305.14314), section 3.
    """
    chosen = _chosen(model, keep_16bit, skip, device)
    for name, linear in chosen.items():
        model.set_submodule(name, _packed(linear, dtype, device))
    return list(chosen)


def _chosen(
    model: nn.Module, keep_16bit: Sequence[str], skip: Collection[nn.Module], device: torch.device
) -> dict[str, nn.Linear]:
    linears = {
        name: module for name, module in model.named_modules() if type(module) is nn.Linear and module not in skip
    }
    for entry in keep_16bit:
        if not any(entry in name for name in linears):
            shown = ", ".join(list(linears)[:4])
            raise ConfigError(f"model.keep_16bit: {entry!r} is in no linear layer's name (they are {shown}, ...)")
    chosen = {
        name: linear
        for name, linear in linears.items()
        if not any(entry in name for entry in keep_16bit)
        # bitsandbytes unpacks other rows wrongly on CPUs: measured with 0.50.2, twice the rounding error and more.
        and (device.type != "cpu" or linear.in_features % BLOCK == 0)
    }
    if not chosen:
        raise ConfigError("model.quantization = 'nf4': no linear layer is left to quantise; shorten model.keep_16bit")
    return chosen


def _packed(linear: nn.Linear, dtype: torch.dtype, device: torch.device) -> Any:
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise MissingExtraError("nf4 needs bitsandbytes; pip install 'lydite[train]'") from error

    packed: Any = Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=dtype, quant_type="nf4", device="meta"
    )
    packed.weight = Params4bit(
        linear.weight.data,
        requires_grad=False,
        blocksize=BLOCK,
        compress_statistics=True,
        quant_type="nf4",
        module=packed,
    ).to(device)
    if linear.bias is not None:
        packed.bias = nn.Parameter(linear.bias.data.to(device), requires_grad=False)
    # On CPUs with AVX-512 bitsandbytes would switch to another layout and another product whenever no
    # gradient is wanted; then rollouts and training would compute different log-probs.
    packed.support_avx512bf16_for_cpu = False
    return packed


def is_nf4(module: nn.Module) -> bool:
    """True for a linear layer whose own weight is packed by bitsandbytes."""
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return getattr(weight, "quant_state", None) is not None


def unpacked(module: Any) -> torch.Tensor:
    """The weight [out, in] of an NF4 layer in its computing type: the very numbers that its product uses."""
    from bitsandbytes.functional import dequantize_4bit

    weight: torch.Tensor = dequantize_4bit(module.weight.data, module.weight.quant_state)
    return weight.to(module.compute_dtype)


@contextmanager
def unpacked_copies(model: nn.Module) -> Iterator[None]:
    """While open, every NF4 layer multiplies by a 16-bit copy of its weight instead of unpacking it each time.

    Takes 2 bytes a weight, and so is left out where that is more than half of the free memory; copies that are lent
    are taken as they are. The packed weights stay, and are used again when it closes.
    """
    layers: list[Any] = [module for module in model.modules() if is_nf4(module)]
    lent = {layer: copy for layer in layers if (copy := unpacked_copy(layer)) is not None}
    without = [layer for layer in layers if layer not in lent]
    if without and not _fits(without):
        layers = list(lent)
    try:
        for layer in layers:
            weight, bias = lent[layer] if layer in lent else unpacked(layer), layer.bias
            layer.forward = lambda x, weight=weight, bias=bias: nn.functional.linear(x, weight, bias)
            lend_copy(layer, weight)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)
            lend_copy(layer, lent.get(layer))


def unpacked_copy(layer: nn.Module) -> torch.Tensor | None:
    """The 16-bit copy [out, in] of an NF4 layer, while `unpacked_copies` is open or one is lent to it, else None."""
    return layer.__dict__.get(_COPY)


def lend_copy(layer: nn.Module, copy: torch.Tensor | None) -> None:
    """From now on fused layers multiply by this copy [out, in] of an NF4 layer's weight; None: they unpack it again."""
    if copy is None:
        layer.__dict__.pop(_COPY, None)
    else:
        layer.__dict__[_COPY] = copy


def _fits(layers: Sequence[Any]) -> bool:
    wanted: int = sum(math.prod(layer.weight.quant_state.shape) * layer.compute_dtype.itemsize for layer in layers)
    device: torch.device = layers[0].weight.device
    free: int = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return wanted < free // 2

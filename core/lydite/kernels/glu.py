"""Gated activations, SwiGLU and GEGLU: one launch forward, one backward, and only gate and up kept in between."""

from __future__ import annotations

from typing import Any, Final, Literal

import torch
from torch.autograd.function import once_differentiable

from lydite.kernels.reference import gated_backward_reference, gated_reference
from lydite.kernels.rows import rows_of
from lydite.kernels.switch import is_on

Activation = Literal["silu", "gelu_tanh", "gelu"]
DTYPES: Final = (torch.bfloat16, torch.float16, torch.float32)
BLOCK: Final = 1024  # numbers of a program: 8 for each of its 128 threads, a load of 16 bytes in 16 bit


def gated(gate: torch.Tensor, up: torch.Tensor, activation: Activation) -> torch.Tensor:
    """The product of activation(gate) [..., F] and up [..., F], in their type.

    In 16 bit the activation is rounded before the product, as in transformers' MLPs, and the gradients where
    autograd rounds theirs. gelu_tanh is exact where torch's own, which adds 1 to a tanh near -1, is off by up to
    6e-8 of the input.
    Source: Shazeer 2020, GLU Variants Improve Transformer (arXiv 2002.05202), equation 6.
    """
    assert gate.shape == up.shape, (gate.shape, up.shape)
    assert gate.dtype == up.dtype, (gate.dtype, up.dtype)
    y: torch.Tensor = _Gated.apply(gate, up, activation)  # type: ignore[no-untyped-call]
    return y


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, activation: Activation) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        return _launch(gate, up, activation) if _takes(gate) else gated_reference(gate, up, activation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        gate, up = ctx.saved_tensors
        compute = _launch_backward if _takes(gate) else gated_backward_reference
        return *compute(slope, gate, up, ctx.activation), None


def _takes(gate: torch.Tensor) -> bool:
    return gate.dtype in DTYPES and is_on("glu", gate.device)


def _launch(gate: torch.Tensor, up: torch.Tensor, activation: Activation) -> torch.Tensor:
    from lydite.kernels import programs_glu

    out = torch.empty(gate.shape, dtype=gate.dtype, device=gate.device)
    if out.numel():
        (gate, up), strides, columns = _rows(gate, up)
        parts = -(-columns // BLOCK)
        programs_glu.gated[(out.numel() // columns * parts,)](
            gate, up, out, columns, parts, *strides,
            ACTIVATION=activation, BLOCK=BLOCK, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
    return out


def _launch_backward(
    slope: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, activation: Activation
) -> tuple[torch.Tensor, torch.Tensor]:
    from lydite.kernels import programs_glu

    outs = tuple(torch.empty(gate.shape, dtype=gate.dtype, device=gate.device) for _ in range(2))
    if gate.numel():
        (slope, gate, up), strides, columns = _rows(slope, gate, up)
        parts = -(-columns // BLOCK)
        programs_glu.gated_backward[(gate.numel() // columns * parts,)](
            slope, gate, up, *outs, columns, parts, *strides,
            ACTIVATION=activation, BLOCK=BLOCK, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
    return outs[0], outs[1]


def _rows(*tensors: torch.Tensor) -> tuple[list[torch.Tensor], list[int], int]:
    """The tensors as rows of one stride, these strides, and the numbers of a row: all of them where none has gaps."""
    if all(one.is_contiguous() for one in tensors):
        return list(tensors), [0] * len(tensors), tensors[0].numel()
    rows = [rows_of(one, strides=1) for one in tensors]
    return [one.tensor for one in rows], [one.inner_stride for one in rows], tensors[0].shape[-1]

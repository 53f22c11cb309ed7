"""NF4 weights unpacked into memory that the caller gives: 0.52 bytes read and 2 written a weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from lydite.kernels.nf4 import BLOCK, NESTED_BLOCK, Nf4Weight
from lydite.kernels.switch import is_on

# Blocks of 64 weights that one program unpacks: 32 weights a thread, so that a thread has 16 bytes to read at once
# and the 64 bytes that it writes are four full stores, while even 1024 x 1024 weights give each of a GPU's
# multiprocessors two programs.
TILE: Final = 64
WARPS: Final = 4


def dequantise_into(weight: Nf4Weight, out: torch.Tensor) -> None:
    """Fills `out` [out, in] with the unpacked weight, in the type of `out` and bit for bit as bitsandbytes does.

    `out` may be a range of rows or of columns of something larger, as long as the numbers of a row lie side by side.
    One launch that allocates nothing and waits for nothing, so that a CUDA graph can hold it; the first call for a
    type compiles, and so belongs before the capture.
    """
    assert out.shape == (weight.out_features, weight.in_features), (out.shape, weight.out_features, weight.in_features)
    assert out.stride(1) == 1, f"the numbers of a row are {out.stride(1)} apart"
    if weight.whole_blocks and is_on("nf4_dequantise", weight.device):
        _launch(weight, out)
    else:
        _dequantise_plain(weight, out)


def dequantise_group_into(weights: Sequence[Nf4Weight], out: torch.Tensor) -> None:
    """Fills `out` [sum of out, in] with the unpacked weights, one below the other: q, k, v as one matrix."""
    rows = [weight.out_features for weight in weights]
    assert out.shape[0] == sum(rows), f"{sum(rows)} rows do not fill {out.shape[0]}"
    for weight, part in zip(weights, out.split(rows), strict=True):
        dequantise_into(weight, part)


def _launch(weight: Nf4Weight, out: torch.Tensor) -> None:
    from lydite.kernels import programs

    blocks = weight.out_features * weight.in_features // BLOCK
    programs.dequantise[(-(-blocks // TILE),)](
        *weight.kernel_tensors,
        out,
        blocks,
        weight.in_features // BLOCK,
        out.stride(0),
        NESTED=weight.nested,
        FLAT=out.is_contiguous(),
        TILE=TILE,
        num_warps=WARPS,
        enable_fp_fusion=False,  # product and offset of a nested scale are rounded apart
    )


def _dequantise_plain(weight: Nf4Weight, out: torch.Tensor) -> None:
    from bitsandbytes.functional import QuantState, dequantize_4bit

    nested: Any = None
    if weight.nested:
        nested = QuantState(absmax=weight.absmax2, code=weight.absmax_code, blocksize=NESTED_BLOCK, dtype=torch.float32)
    state = QuantState(
        absmax=weight.absmax, shape=out.shape, code=weight.code, blocksize=BLOCK, quant_type="nf4", dtype=out.dtype,
        offset=weight.offset, state2=nested,
    )  # fmt: skip
    out.copy_(dequantize_4bit(weight.packed.view(-1, 1), state))  # its `out` is not to be had on a CPU

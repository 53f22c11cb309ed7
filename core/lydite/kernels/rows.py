"""A tensor seen as rows of numbers that lie side by side, without a copy where its strides allow it."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Rows:
    """Row r starts at number `(r // inner) * outer_stride + (r % inner) * inner_stride` of `tensor`.

    Two strides are what a range of columns of a matrix [tokens, wide] needs when it is seen as heads
    [tokens, heads, numbers of a head].
    """

    tensor: torch.Tensor
    count: int
    inner: int
    outer_stride: int
    inner_stride: int


def rows_of(tensor: torch.Tensor, strides: int = 2) -> Rows:
    """The rows of `tensor` [..., H] by at most that many strides, 1 or 2; of a copy where they do not suffice."""
    merged = _merged(tensor)
    if tensor.stride(-1) != 1 or len(merged) > strides:
        tensor = tensor.contiguous()
        merged = _merged(tensor)
    inner, inner_stride = merged[-1]
    outer_stride = merged[0][1] if len(merged) == 2 else 0
    return Rows(tensor, tensor.shape[:-1].numel(), inner, outer_stride, inner_stride)


def _merged(tensor: torch.Tensor) -> list[tuple[int, int]]:
    """Size and stride of the dimensions before the last, those that follow each other as one."""
    merged: list[tuple[int, int]] = []
    for size, stride in zip(tensor.shape[:-1], tensor.stride()[:-1], strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return merged or [(1, tensor.shape[-1])]


def power_of_two(count: int) -> int:
    """The least power of two that holds so many numbers: Triton's blocks have no other sizes."""
    return 1 << max(0, count - 1).bit_length()

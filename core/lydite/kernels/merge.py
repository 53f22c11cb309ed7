"""What packed attention does to some rows of its tensors between its calls, each in one launch and in place.

Its rows differ from one another, so that no two programs write to one place.
"""

from __future__ import annotations

from typing import Final

import torch

from lydite.kernels.reference import add_rows_reference, merge_reference
from lydite.kernels.rows import power_of_two
from lydite.kernels.switch import is_on

DTYPES: Final = (torch.bfloat16, torch.float16, torch.float32)
TOKENS: Final = 16  # of a program of `merge`: a head's numbers of so many tokens are 4 KiB in 16 bit
BLOCK: Final = 1024  # numbers of a program of `add_rows`


def merge_into(
    output: torch.Tensor, lse: torch.Tensor, second: torch.Tensor, second_lse: torch.Tensor, rows: torch.Tensor
) -> None:
    """Puts at `rows` [T] of output [S, H, D] and lse [H, S] the softmax over the keys of both partial results.

    `second` [T, H, D] and `second_lse` [H, T] are those over other keys than the first's; lse are natural logarithms
    in float32. With l = log(exp l_a + exp l_b), o = exp(l_a - l) o_a + exp(l_b - l) o_b, in float32 and rounded once.
    Source: FlashAttention-2 (arXiv 2307.08691), section 3.1.
    """
    if not rows.numel():
        return
    if not _takes(output, lse, second, second_lse):
        merge_reference(output, lse, second, second_lse, rows)
        return
    from lydite.kernels import programs_merge

    tokens, heads, width = output.shape
    count = rows.numel()
    programs_merge.merge[(-(-count // TOKENS), heads)](
        output, lse, second, second_lse, rows, count, tokens, heads,
        WIDTH=width, BLOCK=power_of_two(width), TOKENS=TOKENS, num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip


def add_rows(total: torch.Tensor, rows: torch.Tensor, more: torch.Tensor) -> None:
    """Adds more [T, H, D] to the rows [T] of total [S, H, D]; each sum is rounded once."""
    if not rows.numel():
        return
    if not _takes(total, more):
        add_rows_reference(total, rows, more)
        return
    from lydite.kernels import programs_merge

    columns = more[0].numel()
    parts = -(-columns // BLOCK)
    programs_merge.add_rows[(rows.numel() * parts,)](
        total, more, rows, columns, parts, BLOCK=BLOCK, num_warps=4, enable_fp_fusion=False
    )


def _takes(first: torch.Tensor, *others: torch.Tensor) -> bool:
    return (
        first.dtype in DTYPES and all(one.is_contiguous() for one in (first, *others)) and is_on("merge", first.device)
    )

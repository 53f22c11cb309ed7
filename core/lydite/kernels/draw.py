"""One token drawn from each row of logits, by two launches where torch takes some forty."""

from __future__ import annotations

from typing import Final

import torch

from lydite.kernels.rows import power_of_two

BLOCK: Final = 256  # tokens whose masses are summed into one number
GROUP: Final = 16  # blocks of a program: 16 KiB of logits


def draw(logits: torch.Tensor, uniform: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [N] and their log-probabilities [N] in float32, from logits [N, V] and uniforms [N] in float64.

    By inverse CDF: token t is the first with sum_{s <= t} p_s > u, where p = softmax(logits / temperature). Sums of a
    block are float32, sums of blocks float64. One pass over the logits, and a second over one block of each row.
    `reference.draw_reference` is the definition; `lydite.policy.sampler` computes the same in torch's operations.
    """
    from lydite.kernels import programs_draw

    rows, vocabulary = logits.shape
    logits = logits if logits.stride(1) == 1 else logits.contiguous()
    blocks = -(-vocabulary // BLOCK)
    groups = -(-blocks // GROUP)
    tops = torch.empty((rows, groups), dtype=torch.float32, device=logits.device)
    masses = torch.empty((rows, blocks), dtype=torch.float32, device=logits.device)
    tokens = torch.empty(rows, dtype=torch.int64, device=logits.device)
    logps = torch.empty(rows, dtype=torch.float32, device=logits.device)
    if not rows:
        return tokens, logps
    sizes = (vocabulary, logits.stride(0), blocks, groups, float(temperature))
    programs_draw.block_masses[(groups, rows)](
        logits, tops, masses, *sizes, BLOCK=BLOCK, GROUP=GROUP, num_warps=4, enable_fp_fusion=False
    )
    programs_draw.pick[(rows,)](
        logits, tops, masses, uniform.contiguous(), tokens, logps, *sizes,
        BLOCK=BLOCK, GROUP=GROUP, MOST=power_of_two(blocks), num_warps=4, enable_fp_fusion=False,
    )  # fmt: skip
    return tokens, logps

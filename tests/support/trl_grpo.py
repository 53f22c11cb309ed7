"""TRL's GRPOTrainer on a small model, and one step as both it and the objective see it.

from support.trl_grpo import batch_of, trl_inputs
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lydite.objective import Batch, build_batch, with_advantages
from lydite.types import Scored

LIMIT = 9
PROMPTS = [[5, 6, 7, 8], [9, 10]]
LENGTHS = [[3, 7, 1, 5], [9, 2, 4, 6]]  # G = 4
COMPONENTS = 3


def raw_values(scored: Scored) -> Tensor:
    """What TRL's reward functions would have given: [B, components], NaN for None."""
    return torch.tensor(
        [
            [math.nan if part.value is None else part.value for part in one.components.values()]
            for group in scored.groups
            for one in group.completions
        ]
    )


def batch_of(scored: Scored, *, mask: bool = False) -> Batch:
    filled = with_advantages(scored, scale="group", aggregate="sum_then_normalize")
    return build_batch(filled, pad_token_id=0, device="cpu", mask_truncated_completions=mask)


def away_from(logps: Tensor, mask: Tensor, seed: int) -> Tensor:
    noise = torch.randn(logps.shape, generator=torch.Generator().manual_seed(seed)) * 0.4
    return torch.where(mask, logps + noise, 0.0)


def trl_inputs(batch: Batch, old: Tensor | None, ref: Tensor, num_items: int) -> dict[str, Any]:
    width = batch.input_ids.shape[1] - batch.completion_ids.shape[1]
    inputs = {
        "prompt_ids": batch.input_ids[:, :width],
        "prompt_mask": batch.attention_mask[:, :width],
        "completion_ids": batch.completion_ids,
        "completion_mask": batch.completion_mask.long(),
        "advantages": batch.advantages,
        "num_items_in_batch": torch.tensor(num_items),
        "ref_per_token_logps": ref,
    }
    return inputs if old is None else {**inputs, "old_per_token_logps": old}


def gradients(module: Any) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}

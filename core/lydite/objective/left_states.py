"""The state in which a completion was left, behind its last token: it would predict what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lydite.objective.batch import Batch
from lydite.objective.update import HiddenStatePolicy, predictor_states

if TYPE_CHECKING:
    from lydite.config import TrainConfig


class LeftStates(NamedTuple):
    """Of a micro-batch."""

    states: Tensor
    """[M, H], behind the last token of the completions that `cut` marks, in their order."""
    cut: Tensor
    """[b] bool: the completions that were cut off, as far as they have tokens."""


def left_states(policy: HiddenStatePolicy, batch: Batch, config: TrainConfig, cut: Sequence[bool]) -> LeftStates:
    """The states in which the completions marked in `cut` were left.

    A pass of its own, over these completions alone: in one with all the others, the log-probabilities of those would
    have another rounding than in the passes of the updates.
    """
    marked = [own and answer > 0 for own, answer in zip(cut, batch.measured().answers, strict=True)]
    of_rows = torch.tensor(marked, dtype=torch.bool, device=batch.completion_mask.device)
    rows = [row for row, own in enumerate(marked) if own]
    if not rows:
        return LeftStates(policy.head().weight.new_empty(0, policy.head().weight.shape[1]), of_rows)
    return LeftStates(predictor_states(policy, _next_tokens(batch.take(rows)), config), of_rows)


def _next_tokens(batch: Batch) -> Batch:
    """The batch with one more token behind the last of each completion, the only one that is to be predicted."""
    sizes, width = batch.measured(), batch.input_ids.shape[1] - batch.completion_mask.shape[1]
    ids, attended = F.pad(batch.input_ids, (0, 1)), F.pad(batch.attention_mask, (0, 1))
    column = torch.arange(ids.shape[1] - width, device=ids.device)
    added = column == torch.tensor(sizes.answers, device=ids.device)[:, None]
    attended = attended.masked_fill(F.pad(added, (width, 0)), 1)
    return replace(
        batch,
        input_ids=ids,
        attention_mask=attended,
        position_ids=(attended.cumsum(1) - 1).clamp(min=0) * attended,
        completion_ids=ids[:, width:],
        completion_mask=added,
        advantages=torch.zeros_like(added, dtype=torch.float32),
        sampler_logps=None,
        sizes=replace(sizes, answers=tuple(answer + 1 for answer in sizes.answers), holes=True),
    )

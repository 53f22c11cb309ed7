"""A micro-batch as one sequence without padding: the same log-probs from far fewer tokens.

A run of neighbouring completions with the same prompt is a group, and its prompt is written once. With a prompt of
40 tokens and 8 completions of 10, a group has 112 tokens instead of 400. Where all prompts differ, only the padding
is saved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lydite.objective.batch import Batch
from lydite.policy.layout import Layout, PackedGroup


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A micro-batch's S tokens, and which of them predict the tokens that are trained on."""

    input_ids: Tensor
    """[S] int64."""
    position_ids: Tensor
    """[S] int64."""
    layout: Layout
    predictors: Tensor
    """[N] int64 into [S]: the state that predicts each token of `completion_mask`, in row-major order."""


def pack(batch: Batch) -> Packed:
    """The batch with each run of equal prompts written once; a completion that is not attended to is left out.

    The last token of a completion predicts nothing, so it is not computed. Tokens that an environment inserted are
    computed, as those behind them attend to them, and predict the model's next turn; nothing has to predict them.
    """
    width = batch.input_ids.shape[1] - batch.completion_mask.shape[1]
    ids: list[int] = []
    predictors: list[int] = []
    groups: list[tuple[int, list[int]]] = []
    last: list[int] | None = None
    end = 0  # of the present group's prompt
    rows = zip(batch.input_ids.tolist(), batch.attention_mask.tolist(), batch.completion_mask.tolist(), strict=True)
    for row, mask, trained in rows:
        prompt = [token for token, kept in zip(row[:width], mask[:width], strict=True) if kept]
        answer = [token for token, kept in zip(row[width:], mask[width:], strict=True) if kept]
        if prompt != last:
            ids += prompt
            groups.append((len(prompt), []))
            last, end = prompt, len(ids)
        if answer:
            before = [end - 1, *range(len(ids), len(ids) + len(answer) - 1)]
            predictors += [state for state, kept in zip(before, trained, strict=False) if kept]  # padding is behind
        ids += answer[:-1]
        groups[-1][1].append(max(0, len(answer) - 1))
    layout = Layout(tuple(PackedGroup(prompt, tuple(answers)) for prompt, answers in groups))
    device = batch.input_ids.device
    return Packed(
        input_ids=torch.tensor(ids, dtype=torch.int64, device=device),
        position_ids=torch.tensor(layout.positions(), dtype=torch.int64, device=device),
        layout=layout,
        predictors=torch.tensor(predictors, dtype=torch.int64, device=device),
    )

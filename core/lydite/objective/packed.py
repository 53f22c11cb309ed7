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
from lydite.policy.sending import sent


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
    sizes, (length, longest) = batch.measured(), (batch.input_ids.shape[1], batch.completion_mask.shape[1])
    width = length - longest
    places: list[int] = []  # of the packed tokens, in the batch's [B * L]
    answers: list[int] = []  # of the tokens that something predicts, in its [B * T]
    predictors: list[int] = []
    groups: list[PackedGroup] = []
    for first, last in sizes.runs():
        prompt = sizes.prompts[first]
        places += range(first * length + width - prompt, first * length + width)
        end = len(places)
        for row in range(first, last):
            if answer := sizes.answers[row]:
                predictors += [end - 1, *range(len(places), len(places) + answer - 1)]
                places += range(row * length + width, row * length + width + answer - 1)
                answers += range(row * longest, row * longest + answer)
        groups.append(PackedGroup(prompt, tuple(max(0, sizes.answers[row] - 1) for row in range(first, last))))
    device = batch.input_ids.device
    chosen, states = sent(places, torch.int64, device), sent(predictors, torch.int64, device)
    if sizes.holes:
        states = states[batch.completion_mask.reshape(-1)[sent(answers, torch.int64, device)]]
    return Packed(
        input_ids=batch.input_ids.reshape(-1).index_select(0, chosen),
        position_ids=batch.position_ids.reshape(-1).index_select(0, chosen),
        layout=Layout(tuple(groups)),
        predictors=states,
    )

"""A group's completions behind one copy of their prompt: the same log-probs from far fewer tokens.

Each row holds one prompt and its completions end to end, `prompt a b c`. A token of a completion sees the
prompt and its own completion, not its neighbours, and its position counts on from the prompt, so every
hidden state is what it is when prompt and completion stand alone. With a prompt of 40 tokens and 8
completions of 10, a row has 112 tokens instead of 400.

Source: the arrangement is that of Prefix Grouper (arXiv 2506.05433), here as one mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lydite.objective.batch import Batch


@dataclass(frozen=True, slots=True, eq=False)
class SharedPrompts:
    """A batch's completions in R rows of at most S tokens, one row for each run of equal prompts."""

    input_ids: Tensor
    """[R, S] int64, padded on the right with 0, which nothing sees."""
    position_ids: Tensor
    """[R, S] int64."""
    allowed: Tensor
    """[R, S, S] bool: may the token of the second index see that of the third? Padding sees itself."""
    predictors: Tensor
    """[N] int64 into [R * S]: the state that predicts each token of `completion_mask`, in row-major order."""


def share_prompts(batch: Batch) -> SharedPrompts:
    """The batch with each run of equal prompts written once; what the loss leaves out is left out here too.

    The last token of a completion predicts nothing, so it is not computed.
    """
    width = batch.input_ids.shape[1] - batch.completion_mask.shape[1]
    seen = batch.attention_mask.bool().tolist()
    ids = batch.input_ids.tolist()
    prompts = [[one for one, kept in zip(row[:width], mask[:width], strict=True) if kept]
               for row, mask in zip(ids, seen, strict=True)]  # fmt: skip
    answers = [[one for one, kept in zip(row[width:], mask[width:], strict=True) if kept]
               for row, mask in zip(ids, seen, strict=True)]  # fmt: skip

    rows: list[list[int]] = []
    positions: list[list[int]] = []
    owners: list[list[int]] = []  # 0 for the prompt, then 1, 2, ... for its completions
    places: list[tuple[int, int]] = []
    for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if index == 0 or prompt != prompts[index - 1]:
            rows.append(list(prompt))
            positions.append(list(range(len(prompt))))
            owners.append([0] * len(prompt))
        row, position, owner = rows[-1], positions[-1], owners[-1]
        inner = range(len(row), len(row) + len(answer) - 1)
        if answer:
            places += [(len(rows) - 1, len(prompt) - 1), *((len(rows) - 1, place) for place in inner)]
        row += answer[:-1]
        position += range(len(prompt), len(prompt) + len(inner))
        owner += [owner[-1] + 1] * len(inner)

    longest, device = max(map(len, rows)), batch.input_ids.device
    owner_of = _padded(owners, longest, -1, device)
    order = torch.arange(longest, device=device)
    same = owner_of[:, :, None] == owner_of[:, None, :]
    prompt_key = (owner_of == 0)[:, None, :] & (owner_of >= 0)[:, :, None]
    itself = torch.eye(longest, dtype=torch.bool, device=device)
    allowed = ((same & (owner_of >= 0)[:, :, None]) | prompt_key) & (order[:, None] >= order[None, :]) | itself
    return SharedPrompts(
        input_ids=_padded(rows, longest, 0, device),
        position_ids=_padded(positions, longest, 0, device),
        allowed=allowed,
        predictors=torch.tensor([row * longest + place for row, place in places], dtype=torch.int64, device=device),
    )


def _padded(rows: list[list[int]], length: int, filler: int, device: torch.device) -> Tensor:
    return torch.tensor([row + [filler] * (length - len(row)) for row in rows], dtype=torch.int64, device=device)

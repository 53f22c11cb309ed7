"""A step's completions as tensors: padded, masked, never cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from lydite.objective.sizes import Sizes, read_sizes
from lydite.policy.sending import sent
from lydite.types import Generated, Scored


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B completions behind their prompts. L = longest prompt + T, and T = longest completion.

    Prompts are padded on the left and completions on the right, so the prompts end, and the completions
    begin, in the same column: the hidden state at column L - T - 1 + t predicts completion token t.
    """

    input_ids: Tensor
    """[B, L] int64."""
    attention_mask: Tensor
    """[B, L] int64, 1 for tokens and 0 for padding, and for what comes behind a completion's last trained token."""
    position_ids: Tensor
    """[B, L] int64, counted from each prompt's first token; 0 on padding."""
    completion_ids: Tensor
    """[B, T] int64, the last T columns of `input_ids`."""
    completion_mask: Tensor
    """[B, T] bool, the tokens that are trained on. A masked truncated completion has none, and an episode has holes
    where its environment speaks: those tokens are attended to."""
    advantages: Tensor
    """[B] float32, one of each completion, or [B, T], one of each token."""
    sampler_logps: Tensor | None
    """[B, T] float32, log-probabilities as the engine sampled, 0 on padding; None where it gives none."""
    sizes: Sizes | None = None
    """Lengths in the host's memory; None: they are read off the tensors where they are needed."""

    @property
    def size(self) -> int:
        """B."""
        return self.completion_mask.shape[0]

    def measured(self) -> Sizes:
        """The lengths of its rows."""
        return self.sizes or read_sizes(self.input_ids, self.attention_mask, self.completion_mask)

    def trained_places(self) -> Tensor:
        """Where the tokens that are trained on stand in the [B * T] of `completion_mask`, in order: [N] int64."""
        sizes, longest = self.sizes, self.completion_mask.shape[1]
        if sizes is None or sizes.holes:
            return self.completion_mask.reshape(-1).nonzero()[:, 0]
        found = [
            place for row, count in enumerate(sizes.answers) for place in range(row * longest, row * longest + count)
        ]
        return sent(found, torch.int64, self.input_ids.device)

    def with_advantages(self, advantages: Sequence[float]) -> Batch:
        """The same completions with these advantages, one of each."""
        return replace(
            self, advantages=torch.tensor(advantages, dtype=torch.float32, device=self.completion_mask.device)
        )

    def rows(self, start: int, stop: int) -> Batch:
        """Completions `start` to `stop` - 1, with the columns that none of them uses taken off.

        Raises:
            IndexError: when the range is empty or reaches outside the batch.
        """
        if not 0 <= start < stop <= self.size:
            raise IndexError(f"rows {start} to {stop} of a batch of {self.size} completions")
        own = slice(start, stop)
        prompt_width = self.input_ids.shape[1] - self.completion_ids.shape[1]
        sizes = self.measured().rows(start, stop)
        left, length = prompt_width - max(sizes.prompts), max(sizes.answers)
        columns = slice(left, prompt_width + length)
        return Batch(
            input_ids=self.input_ids[own, columns],
            attention_mask=self.attention_mask[own, columns],
            position_ids=self.position_ids[own, columns],
            completion_ids=self.completion_ids[own, :length],
            completion_mask=self.completion_mask[own, :length],
            advantages=self.advantages[own, :length] if self.advantages.dim() > 1 else self.advantages[own],
            sampler_logps=None if self.sampler_logps is None else self.sampler_logps[own, :length],
            sizes=sizes,
        )

    def take(self, rows: Sequence[int]) -> Batch:
        """These completions in this order, all columns kept; a row may be left out or be asked for twice."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.input_ids.device)
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "sizes"}
        taken: dict[str, Any] = {
            name: None if value is None else value.index_select(0, index) for name, value in own.items()
        }
        return Batch(**taken, sizes=self.measured().take(rows))


def build_batch(
    scored: Scored, *, pad_token_id: int, device: torch.device | str, mask_truncated_completions: bool
) -> Batch:
    """The step's completions in the order of its groups, on `device`.

    With `mask_truncated_completions`, a completion that ran into the token limit is left out of the loss:
    its row of `completion_mask`, and its completion's part of `attention_mask`, are zero. So is always one whose
    environment broke, since what it did says nothing about the policy.

    Raises:
        ValueError: when there is no completion, or a prompt has no token (nothing would predict the first
            token of its completions).

    Source: masking of truncated completions as in DAPO (arXiv 2503.14476) section 3.4, overlong filtering.
    """
    pairs = [(group.prompt, one) for group in scored.groups for one in group.completions]
    if not pairs:
        raise ValueError("a batch needs at least one completion; the step has none")
    for prompt, _ in pairs:
        if not prompt.token_ids:
            raise ValueError(f"the prompt of sample {prompt.sample.id!r} has no tokens; a prompt needs at least one")
    prompts = [prompt.token_ids for prompt, _ in pairs]
    completions = [one.generated.token_ids for _, one in pairs]
    trained = [
        [] if mask_truncated_completions and one.generated.finish_reason == "length" else _trained(one.generated)
        for _, one in pairs
    ]
    prompt_width, length = max(map(len, prompts)), max(map(len, completions))
    ids = [
        [pad_token_id] * (prompt_width - len(prompt)) + [*prompt, *answer] + [pad_token_id] * (length - len(answer))
        for prompt, answer in zip(prompts, completions, strict=True)
    ]
    input_ids = torch.tensor(ids, dtype=torch.int64, device=device)
    column = torch.arange(length, device=device)
    kept = [[*row, *[False] * (length - len(row))] for row in trained]
    completion_mask = torch.tensor(kept, dtype=torch.bool, device=device).reshape(len(pairs), length)
    attended = column < torch.tensor([len(row) for row in trained], device=device)[:, None]
    from_left = torch.arange(prompt_width, device=device)
    prompt_mask = from_left >= prompt_width - torch.tensor([len(prompt) for prompt in prompts], device=device)[:, None]
    attention_mask = torch.cat([prompt_mask, attended], dim=1).long()
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=(attention_mask.cumsum(1) - 1).clamp(min=0) * attention_mask,
        completion_ids=input_ids[:, prompt_width:],
        completion_mask=completion_mask,
        advantages=torch.tensor([one.advantage for _, one in pairs], dtype=torch.float32, device=device),
        sampler_logps=_padded_logps([one.generated.logps for _, one in pairs], length, device),
        sizes=Sizes(
            prompts=tuple(map(len, prompts)),
            answers=tuple(map(len, trained)),
            groups=tuple(accumulate([0, *(one != other for one, other in pairwise(prompts))])),
            holes=not all(map(all, trained)),
        ),
    )


def _trained(generated: Generated) -> list[bool]:
    """For each token up to the last one that is trained on, whether it is."""
    if generated.episode is not None and generated.episode.ended == "error":
        return []
    row = [True] * len(generated.token_ids) if generated.trained is None else list(generated.trained)
    while row and not row[-1]:
        row.pop()
    return row


def _padded_logps(logps: Sequence[tuple[float, ...] | None], length: int, device: torch.device | str) -> Tensor | None:
    rows = []
    for row in logps:
        if row is None:  # one without is enough: a correction for some completions only would bias the step
            return None
        rows.append([*row, *[0.0] * (length - len(row))])
    return torch.tensor(rows, dtype=torch.float32, device=device)

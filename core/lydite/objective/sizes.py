"""How long a batch's prompts and completions are, and which rows share a prompt, in the host's memory.

A GPU works through what it was told while the host prepares what comes next. To ask it for a length, the host has to
wait until it is done with everything before; so the lengths stay where they came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of each of B rows."""

    prompts: tuple[int, ...]
    """Tokens of the prompt."""
    answers: tuple[int, ...]
    """Tokens of the completion that are attended to; 0 for one that the loss leaves out."""
    groups: tuple[int, ...]
    """A number that neighbouring rows have in common when their prompts are equal."""
    holes: bool
    """True when some token of a completion is attended to and not trained on."""

    def rows(self, start: int, stop: int) -> Sizes:
        """Those of rows `start` to `stop` - 1."""
        own = slice(start, stop)
        return Sizes(self.prompts[own], self.answers[own], self.groups[own], self.holes)

    def take(self, rows: Sequence[int]) -> Sizes:
        """Those of these rows, in this order."""
        return Sizes(
            tuple(self.prompts[row] for row in rows),
            tuple(self.answers[row] for row in rows),
            tuple(self.groups[row] for row in rows),
            self.holes,
        )

    def runs(self) -> list[tuple[int, int]]:
        """The runs of rows whose prompts are equal, each from its first row to before the one after its last."""
        count = len(self.groups)
        begins = [0, *(row + 1 for row, (one, next_one) in enumerate(pairwise(self.groups)) if one != next_one)]
        return list(pairwise([*begins, count])) if count else []


def read_sizes(input_ids: Tensor, attention_mask: Tensor, completion_mask: Tensor) -> Sizes:
    """The sizes of a batch's tensors, as `Batch` has them; waits for their device."""
    width = input_ids.shape[1] - completion_mask.shape[1]
    ids, attended = input_ids[:, :width], attention_mask[:, :width]
    equal = ((ids[1:] == ids[:-1]) & (attended[1:] == attended[:-1])).all(1)
    groups = [0]
    for same in equal.tolist():
        groups.append(groups[-1] + (not same))
    answers = attention_mask[:, width:]
    return Sizes(
        prompts=tuple(attended.sum(1).tolist()),
        answers=tuple(answers.sum(1).tolist()),
        groups=tuple(groups[: len(input_ids)]),
        holes=bool((answers.bool() & ~completion_mask).any()),
    )

"""What an algorithm is: what a step's completions come to, in the terms that every algorithm shares.

The learner has what does not depend on the algorithm: it builds the batch, cuts updates into micro-batches that have
room, runs their passes, clips gradients and steps the optimiser. An algorithm says which completions are trained on,
what has to be known before the first update, and what the loss of a micro-batch is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from lydite.distributed import current
from lydite.objective import Batch, LossMetrics, UpdateTotals
from lydite.objective.micro_batches import Span
from lydite.types import Scored, ScoredCompletion


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A micro-batch's part of a figure, as scalars without gradient: the figure is the sum of totals by that of counts.

    A figure whose counts add up to 0 is 0.
    """

    total: Tensor
    count: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one micro-batch came to."""

    loss: Tensor
    """Scalar with a gradient; the parts of an update's micro-batches add up to its loss."""
    live: Tensor
    """How many tokens have a gradient, as a scalar. A run in which they are many and the gradient is 0 is stopped."""
    metrics: LossMetrics | None = None
    """Figures of a clipped surrogate, where there is one."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """Its parts of the algorithm's own figures, by their names."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The completions of a step that are trained on, in the order of training."""

    batch: Batch
    updates: tuple[Span, ...]
    """The rows of each update of one pass over the step; an empty range is an update with nothing to learn from."""
    rows: tuple[int, ...]
    """The place in the step of each row of the batch."""
    unit: int = 1
    """So many consecutive rows are in one micro-batch always; every update has a multiple of them."""


class StepLoss(Protocol):
    """A step's losses, once all is known that its updates need."""

    @property
    def batch(self) -> Batch:
        """The completions that are trained on, with the advantages that are in force."""
        ...

    def gather(self) -> None:
        """Brings together what the run's processes found out in `begin`; all of them call it, also one that is alone.

        It runs no pass of the model.
        """
        ...

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        """The part that these rows of the batch have in an update of these totals. May be asked for again."""
        ...

    def figures(self) -> Mapping[str, float]:
        """What there is to say of the step as a whole, after its updates."""
        ...


class Algorithm(Protocol):
    """What a run's updates make of scored completions. Holds what it trains besides the policy, and no other state."""

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """What it trains besides the policy, in float32, by name. It is saved in checkpoints."""
        ...

    def learning_rate(self) -> float:
        """Of those parameters, at its height."""
        ...

    def material(self, scored: Scored, batch: Batch) -> Material:
        """What of a step is trained on; `batch` holds all of its completions, in order."""
        ...

    def begin(self, scored: Scored, material: Material, updates: Sequence[Sequence[Span]]) -> StepLoss:
        """The step's losses; the policy is as it sampled.

        `updates` are the micro-batches of each update: in a run of several processes, those of this one.
        """
        ...


def whole_step(batch: Batch, update_rows: int) -> Material:
    """All of a step's completions, so many in an update."""
    starts = range(0, batch.size, update_rows)
    return Material(
        batch,
        updates=tuple((start, min(start + update_rows, batch.size)) for start in starts),
        rows=tuple(range(batch.size)),
    )


def spans_of(updates: Sequence[Sequence[Span]]) -> list[Span]:
    """The micro-batches of these updates, in order."""
    return [span for spans in updates for span in spans]


def reward_of(one: ScoredCompletion, missing_eos_penalty: float | None) -> float | None:
    """The completion's total, less the penalty if it ran into the limit; None where nothing could score it."""
    if one.reward is None or missing_eos_penalty is None or one.generated.finish_reason == "stop":
        return one.reward
    return one.reward - missing_eos_penalty


def gathered(parts: Mapping[Span, Tensor]) -> list[Tensor]:
    """What all processes have of a step's micro-batches, in the order of their rows."""
    of_all = {span: part for own in current().gather(parts) for span, part in own.items()}
    return [of_all[span] for span in sorted(of_all)]


def merge_shares(parts: Sequence[Outcome]) -> dict[str, float]:
    """The algorithm's own figures over the micro-batches of an update."""
    names = dict.fromkeys(name for part in parts for name in part.shares)
    merged = {}
    for name in names:
        total = sum(float(part.shares[name].total) for part in parts if name in part.shares)
        count = sum(float(part.shares[name].count) for part in parts if name in part.shares)
        merged[name] = total / count if count else 0.0
    return merged

"""GRPO: each completion against the others of its group, token by token, with any of the losses of `loss_type`.

Source: Shao et al. 2024, DeepSeekMath (arXiv 2402.03300), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from lydite.algorithms.protocol import Material, Outcome, StepLoss, whole_step
from lydite.config import RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, UpdateTotals, micro_batch_loss
from lydite.objective.micro_batches import Span
from lydite.policy import Policy
from lydite.types import Scored


class Grpo:
    """Advantages as the rewards were scored with, and the loss that the configuration names."""

    def __init__(self, policy: Policy, config: RunConfig) -> None:
        self._policy = policy
        self._train = config.train

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Nothing."""
        return {}

    def learning_rate(self) -> float:
        """That of the policy."""
        return self._train.learning_rate

    def material(self, scored: Scored, batch: Batch) -> Material:
        """All completions."""
        return whole_step(batch, self._train.update_batch_size)

    def begin(self, scored: Scored, material: Material, updates: Sequence[Sequence[Span]]) -> StepLoss:
        """Later updates' old log-probabilities, and the reference's where the step is gone over again."""
        known = KnownLogps(self._policy, material.batch, self._train)
        known.learn_old([span for spans in updates[1:] for span in spans])
        if self._train.num_iterations > 1 and self._train.beta > 0.0:
            known.learn_reference([span for spans in updates for span in spans])
        return _GrpoStep(self._policy, material.batch, self._train, known)


class _GrpoStep:
    def __init__(self, policy: Policy, batch: Batch, train: TrainConfig, known: KnownLogps) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._known = known

    def gather(self) -> None:
        """Nothing: the advantages are known from the start."""

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        known = self._known
        output, logps = micro_batch_loss(
            self._policy, self.batch.rows(*span), totals, self._train, known.old.get(span), known.reference.get(span)
        )
        known.sampled_with(span, logps)
        return Outcome(output.loss, output.metrics.live, output.metrics)

    def figures(self) -> Mapping[str, float]:
        return self._known.sampling_figures()

"""GRPO: each completion against the others of its group, token by token, with any of the losses of `loss_type`.

With `use_kl_in_reward` the advantages are made anew in each step, of rewards that have paid for the distance from the
reference; see `reward_kl`.

Source: Shao et al. 2024, DeepSeekMath (arXiv 2402.03300), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from lydite.algorithms.protocol import Material, Outcome, StepLoss, spans_of, whole_step
from lydite.algorithms.reward_kl import RewardKl, penalised_rewards
from lydite.config import RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, UpdateTotals, configured_advantages, micro_batch_loss
from lydite.objective.micro_batches import Span
from lydite.policy import Policy
from lydite.types import Scored


class Grpo:
    """Advantages by the estimator and the loss that the configuration names."""

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
        """Later updates' old log-probabilities, and the reference's where the step is gone over again.

        Both of the whole step, where its rewards pay for the KL.
        """
        train, batch, spans = self._train, material.batch, spans_of(updates)
        known, paid = KnownLogps(self._policy, batch, train), None
        if train.use_kl_in_reward:
            paid = RewardKl(known, batch, spans, beta=train.beta, estimator=train.kl_estimator)
        elif train.num_iterations > 1 and train.beta > 0.0:
            known.learn_reference(spans)
        known.learn_old(spans_of(updates[1:]))
        return _GrpoStep(self._policy, batch, train, known, scored, paid)


def advantages_after_kl(scored: Scored, kl: Sequence[float], train: TrainConfig) -> list[float]:
    """The advantage of each completion of a step, in order, by the configured estimator; 0 where nothing scored it.

    `kl` has each completion's estimate in nats, the sum over its tokens, of which the reward pays beta times as much.
    """
    rewards = [[one.reward for one in group.completions] for group in scored.groups]
    found = configured_advantages(penalised_rewards(rewards, kl, train.beta), train)
    return [advantage for group in found for advantage in group]


class _GrpoStep:
    def __init__(
        self,
        policy: Policy,
        batch: Batch,
        train: TrainConfig,
        known: KnownLogps,
        scored: Scored,
        paid: RewardKl | None,
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._known = known
        self._scored = scored
        self._paid = paid

    def gather(self) -> None:
        """The advantages, where a completion's group or step may be other processes' to tell the KL of."""
        if self._paid is not None:
            self.batch = self.batch.with_advantages(advantages_after_kl(self._scored, self._paid.gather(), self._train))

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        known = self._known
        output, logps = micro_batch_loss(
            self._policy, self.batch.rows(*span), totals, self._train, known.old.get(span), known.reference.get(span)
        )
        known.sampled_with(span, logps)
        return Outcome(output.loss, output.metrics.live, output.metrics)

    def figures(self) -> Mapping[str, float]:
        return {**self._known.sampling_figures(), **({} if self._paid is None else self._paid.figures())}

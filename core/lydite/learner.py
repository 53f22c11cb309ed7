"""A step's completions in, optimiser updates out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from lydite.config import RunConfig
from lydite.errors import ModelError
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, LossMetrics, build_batch, merge_metrics, micro_batch_loss, update_totals
from lydite.optimizer import learning_rate, make_optimizer
from lydite.policy import Policy
from lydite.progress import Progress, seed_for
from lydite.sentinels import Sentinels
from lydite.types import Scored


class Learner:
    """The policy's optimiser, and what it makes of a step."""

    def __init__(self, policy: Policy, config: RunConfig, sentinels: Sentinels) -> None:
        self.optimizer = make_optimizer(policy.trainable().values(), config.train)
        self._policy = policy
        self._train = config.train
        self._seed = config.seed
        self._sentinels = sentinels

    def learn(self, step: int, scored: Scored, progress: Progress) -> dict[str, float]:
        """Every update that the step's completions feed; figures by TRL's names, means over the updates.

        `progress` counts the updates.

        Raises:
            ModelError: when a gradient is not a finite number.
            SentinelError: when nothing is learned.
        """
        train = self._train
        batch = build_batch(
            scored,
            pad_token_id=self._policy.pad_token_id,
            device=self._policy.device,
            mask_truncated_completions=train.mask_truncated_completions,
        )
        # Dropout draws from a state that the step alone decides, so that a resumed run draws the same.
        torch.manual_seed(seed_for(self._seed, "dropout", step))
        self._policy.train_mode()
        self._sentinels.before_updates()
        rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
        memo = KnownLogps(self._policy, batch, train, rows)
        done: list[Mapping[str, float]] = []
        for _ in range(train.num_iterations):
            for start in range(0, batch.size, rows):
                span = (start, min(start + rows, batch.size))
                done.append(self._update(step, batch, span, memo, progress))
        self._policy.eval_mode()
        self._sentinels.after_updates(step)
        figures = {name: sum(one[name] for one in done) / len(done) for name in done[0]}
        return {**figures, **memo.sampling_figures()}

    def _update(
        self, step: int, batch: Batch, of_update: tuple[int, int], memo: KnownLogps, progress: Progress
    ) -> dict[str, float]:
        """One optimiser update on the rows from the first number to before the second, in micro-batches."""
        train, (start, stop) = self._train, of_update
        totals = update_totals(batch, start, stop, max_completion_length=train.max_completion_length)
        losses: list[float] = []
        parts: list[LossMetrics] = []
        for first in range(start, stop, train.per_device_train_batch_size):
            span = (first, min(first + train.per_device_train_batch_size, stop))
            output, logps = micro_batch_loss(
                self._policy, batch.rows(*span), totals, train, memo.old.get(span), memo.reference.get(span)
            )
            output.loss.backward()
            memo.sampled_with(span, logps)
            losses.append(float(output.loss.detach()))
            parts.append(output.metrics)
        norm = float(torch.nn.utils.clip_grad_norm_(self._policy.trainable().values(), train.max_grad_norm))
        if not math.isfinite(norm):
            raise ModelError(
                f"the gradient of update {progress.updates + 1} is not a finite number, so nothing more can be "
                'learned; lower learning_rate or max_grad_norm, or take model.dtype = "bfloat16" if it is float16'
            )
        self._sentinels.saw_gradient(norm, parts, batch.rows(start, stop), step)
        rate = learning_rate(progress.updates, train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        progress.updates += 1
        return {"loss": sum(losses), "grad_norm": norm, "learning_rate": rate, **merge_metrics(parts)}

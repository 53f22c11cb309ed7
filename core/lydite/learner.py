"""A step's completions in, optimiser updates out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from lydite.config import RunConfig
from lydite.errors import ModelError
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, LossMetrics, build_batch, merge_metrics, micro_batch_loss, update_totals
from lydite.objective.micro_batches import Span, largest_pass, micro_batches
from lydite.optimizer import learning_rate, make_optimizer
from lydite.planner.adaptive import AdaptiveActivations
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
        self._activations = AdaptiveActivations(policy, config)

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
        updates = self._cut(batch)
        memo = KnownLogps(self._policy, batch, train, updates)
        done: list[Mapping[str, float]] = []
        for _ in range(train.num_iterations):
            for spans in updates:
                done.append(self._update(step, batch, spans, memo, progress))
        self._policy.eval_mode()
        self._sentinels.after_updates(step)
        figures = {name: sum(one[name] for one in done) / len(done) for name in done[0]}
        return {**figures, **memo.sampling_figures()}

    def _cut(self, batch: Batch) -> list[list[Span]]:
        """The micro-batches of each update of one pass over the step's completions."""
        train = self._train
        rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
        return [
            micro_batches(
                batch,
                start,
                min(start + rows, batch.size),
                rows=train.per_device_train_batch_size,
                tokens=train.micro_batch_tokens,
                packed=self._packs,
            )
            for start in range(0, batch.size, rows)
        ]

    @property
    def _packs(self) -> bool:
        return self._train.share_prompts and self._policy.packs

    def _update(
        self, step: int, batch: Batch, spans: list[Span], memo: KnownLogps, progress: Progress
    ) -> dict[str, float]:
        """One optimiser update on the completions of these micro-batches."""
        train, (start, stop) = self._train, (spans[0][0], spans[-1][1])
        self._activations.before_update(largest_pass(batch, spans, packed=self._packs))
        losses, parts = self._gradient(batch, spans, memo)
        self._activations.after_passes()
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

    def _gradient(self, batch: Batch, spans: list[Span], memo: KnownLogps) -> tuple[list[float], list[LossMetrics]]:
        """Adds up the gradient of an update, and tells loss and figures of each micro-batch.

        A pass that has no room is no failure while more layers can be computed again: the update is begun anew.
        """
        draws = torch.get_rng_state(), torch.cuda.get_rng_state() if self._policy.device.type == "cuda" else None
        try:
            return self._passes(batch, spans, memo)
        except torch.OutOfMemoryError:
            if not self._activations.recompute_all():
                raise
        # Outside of the handler, whose traceback holds the tensors of the pass that failed.
        self.optimizer.zero_grad(set_to_none=True)
        torch.set_rng_state(draws[0])
        if draws[1] is not None:
            torch.cuda.empty_cache()
            torch.cuda.set_rng_state(draws[1])
        return self._passes(batch, spans, memo)

    def _passes(self, batch: Batch, spans: list[Span], memo: KnownLogps) -> tuple[list[float], list[LossMetrics]]:
        """A forward and a backward pass over each micro-batch."""
        train = self._train
        limit = train.max_completion_length
        totals = update_totals(batch, spans[0][0], spans[-1][1], max_completion_length=limit)
        losses: list[float] = []
        parts: list[LossMetrics] = []
        for span in spans:
            output, logps = micro_batch_loss(
                self._policy, batch.rows(*span), totals, train, memo.old.get(span), memo.reference.get(span)
            )
            output.loss.backward()
            memo.sampled_with(span, logps)
            losses.append(float(output.loss.detach()))
            parts.append(output.metrics)
        return losses, parts

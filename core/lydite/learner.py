"""A step's completions in, optimiser updates out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lydite.algorithms import Material, Outcome, StepLoss, make_algorithm, merge_shares
from lydite.checkpoint import Checkpoint
from lydite.config import RunConfig
from lydite.distributed import current, work_of
from lydite.errors import CheckpointError, ModelError
from lydite.objective import Batch, build_batch, merge_metrics, update_totals
from lydite.objective.losses import UpdateTotals
from lydite.objective.micro_batches import Span, largest_pass, micro_batches
from lydite.objective.update_entropy import token_entropies, with_entropy_threshold
from lydite.optimizer import learning_rate, make_optimizer, restore_optimizer
from lydite.planner.adaptive import AdaptiveActivations
from lydite.plugins import Plugins
from lydite.policy import Policy
from lydite.progress import Progress, seed_for
from lydite.sentinels import Sentinels
from lydite.types import Scored


class Learner:
    """The optimiser of all that is trained, and what the run's algorithm makes of a step."""

    def __init__(self, policy: Policy, config: RunConfig, sentinels: Sentinels, plugins: Plugins | None = None) -> None:
        """`plugins` may offer the algorithm that the configuration names.

        Raises:
            UnknownNameError: when nobody offers it.
        """
        self.algorithm = make_algorithm(policy, config, plugins)
        self.optimizer = make_optimizer(policy.trainable().values(), config.train)
        self._beside = list(self.algorithm.parameters().values())
        if self._beside:
            self.optimizer.add_param_group({"params": self._beside})
        self._policy = policy
        self._train = config.train
        self._seed = config.seed
        self._sentinels = sentinels
        self.activations = AdaptiveActivations(policy, config)
        """Which layers compute theirs again, as of the last update."""
        self._processes = current()

    def state_beside(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of what the algorithm trains besides the policy."""
        return {name: one.detach().to("cpu", copy=True) for name, one in self.algorithm.parameters().items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Puts the optimiser and what the algorithm trains back, in place; the policy's weights are not its business.

        Raises:
            CheckpointError: when the checkpoint is of another algorithm.
        """
        own = self.algorithm.parameters()
        if {name: one.shape for name, one in own.items()} != {
            name: one.shape for name, one in checkpoint.beside.items()
        }:
            raise CheckpointError(
                f"the checkpoint holds {sorted(checkpoint.beside) or 'nothing'} besides the policy, and this run's "
                f"algorithm trains {sorted(own) or 'nothing'} there; go on with the algorithm that the run began with"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(checkpoint.beside[name])
        restore_optimizer(self.optimizer, checkpoint.optimizer)

    def learn(self, step: int, scored: Scored, progress: Progress) -> dict[str, float]:
        """Every update that the step's completions feed; figures by TRL's names, means over the updates.

        `progress` counts the updates.

        Raises:
            ModelError: when a gradient is not a finite number.
            SentinelError: when nothing is learned.
        """
        train = self._train
        material = self.algorithm.material(scored, self.batch(scored))
        # Dropout draws from a state that the step alone decides, so that a resumed run draws the same.
        torch.manual_seed(self._processes.seed(seed_for(self._seed, "dropout", step)))
        self._policy.train_mode()
        self._sentinels.before_updates()
        updates = [self.cut(material, rows) for rows in material.updates]
        with self._processes.in_step():
            loss = self.algorithm.begin(scored, material, updates)
        loss.gather()
        done: list[Mapping[str, float]] = []
        for _ in range(train.num_iterations):
            for rows, spans in zip(material.updates, updates, strict=True):
                done.append(self._update(step, loss, rows, spans, progress))
        self._policy.eval_mode()
        self._sentinels.after_updates(step)
        return {**_means(done), **loss.figures()}

    def batch(self, scored: Scored) -> Batch:
        """All of a step's completions, on the policy's device."""
        return build_batch(
            scored,
            pad_token_id=self._policy.pad_token_id,
            device=self._policy.device,
            mask_truncated_completions=self._train.mask_truncated_completions,
        )

    def cut(self, material: Material, rows: Span) -> list[Span]:
        """The micro-batches of this process's part of the update that has these rows; none where it has no rows."""
        train, unit = self._train, material.unit
        work = None  # by the number of completions, like the passes
        if train.micro_batch_tokens is not None and self._processes.count > 1:
            work = work_of(material.batch, *rows, unit=unit, packed=self._packs)
        return micro_batches(
            material.batch,
            *self._processes.own(*rows, unit, work),
            rows=train.per_device_train_batch_size,
            tokens=train.micro_batch_tokens,
            packed=self._packs,
            unit=unit,
        )

    @property
    def _packs(self) -> bool:
        return self._train.share_prompts and self._policy.packs

    def _update(
        self, step: int, loss: StepLoss, rows: Span, spans: Sequence[Span], progress: Progress
    ) -> dict[str, float]:
        """One optimiser update on these rows, of which this process has the micro-batches `spans`.

        Without any rows, only the schedule goes on.
        """
        rate = learning_rate(progress.updates, self._train)
        progress.updates += 1
        if rows[0] == rows[1]:
            return {"learning_rate": rate}
        if spans:
            self.activations.before_update(largest_pass(loss.batch, spans, packed=self._packs))
        totals = self._totals(loss, rows, spans)
        with self._processes.in_step():
            own_parts = self._gradient(loss, totals, spans)
        self.activations.after_passes()
        parts = [part for of_one in self._processes.gather(own_parts) for part in of_one]
        self._processes.sum_gradients([*self._policy.trainable().values(), *self._beside])
        norm = self._clipped(progress.updates)
        self._sentinels.saw_gradient(norm, parts, loss.batch.rows(*rows), step)
        self._set_rates(rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(float(part.loss) for part in parts)
        metrics = [part.metrics for part in parts if part.metrics is not None]
        return {
            "loss": total, "grad_norm": norm, "learning_rate": rate,
            **(merge_metrics(metrics) if metrics else {}), **merge_shares(parts),
        }  # fmt: skip

    def _clipped(self, update: int) -> float:
        """The norm of the policy's gradient before it was scaled down.

        What is trained beside it is clipped by itself: a value head that is far off would else leave the policy
        next to nothing of the norm.

        Raises:
            ModelError: when one of the two is not a finite number.
        """
        norms = [
            float(torch.nn.utils.clip_grad_norm_(trained, self._train.max_grad_norm))
            for trained in (list(self._policy.trainable().values()), self._beside)
        ]
        if not all(map(math.isfinite, norms)):
            raise ModelError(
                f"the gradient of update {update} is not a finite number, so nothing more can be "
                'learned; lower learning_rate or max_grad_norm, or take model.dtype = "bfloat16" if it is float16'
            )
        return norms[0]

    def _set_rates(self, rate: float) -> None:
        """The rate of the policy, and that of what is trained beside it on the same schedule."""
        own, *beside = self.optimizer.param_groups
        own["lr"] = rate
        for group in beside:
            group["lr"] = rate / self._train.learning_rate * self.algorithm.learning_rate()

    def _totals(self, loss: StepLoss, rows: Span, spans: Sequence[Span]) -> UpdateTotals:
        """What the update of these rows holds in all, in whichever process its micro-batches are."""
        train, limit = self._train, self._train.max_completion_length
        totals = update_totals(loss.batch, *rows, max_completion_length=limit)
        if train.top_entropy_quantile >= 1.0 or (self._processes.count == 1 and len(spans) == 1):
            return totals
        with self._processes.in_step():
            own = token_entropies(self._policy, [loss.batch.rows(*span) for span in spans], train)
        return with_entropy_threshold(totals, torch.cat(self._processes.gather(own)), train.top_entropy_quantile)

    def _gradient(self, loss: StepLoss, totals: UpdateTotals, spans: Sequence[Span]) -> list[Outcome]:
        """Adds up the gradient of an update, and tells what each micro-batch came to.

        A pass that has no room is no failure while more layers can be computed again: the update is begun anew.
        """
        draws = torch.get_rng_state(), torch.cuda.get_rng_state() if self._policy.device.type == "cuda" else None
        try:
            return self._passes(loss, totals, spans)
        except torch.OutOfMemoryError:
            if not self.activations.recompute_all():
                raise
        # Outside of the handler, whose traceback holds the tensors of the pass that failed.
        self.optimizer.zero_grad(set_to_none=True)
        torch.set_rng_state(draws[0])
        if draws[1] is not None:
            torch.cuda.empty_cache()
            torch.cuda.set_rng_state(draws[1])
        return self._passes(loss, totals, spans)

    def _passes(self, loss: StepLoss, totals: UpdateTotals, spans: Sequence[Span]) -> list[Outcome]:
        """A forward and a backward pass over each micro-batch; the outcomes keep no graph."""
        parts = []
        with self._policy.adapter_held():
            for span in spans:
                part = loss.micro_batch(span, totals)
                part.loss.backward()
                parts.append(replace(part, loss=part.loss.detach()))
        return parts


def _means(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure's mean over the updates that have it; loss and norm are 0 where no update had anything to learn."""
    values: dict[str, list[float]] = {}
    for one in updates:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    means = {name: sum(found) / len(found) for name, found in values.items()}
    return {"loss": 0.0, "grad_norm": 0.0, **means}

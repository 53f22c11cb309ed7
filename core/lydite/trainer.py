"""The training loop: GRPO from prompts to updates, in the order in which it happens.

What PPO has and this has not: a value network and its loss (a group's mean reward is the baseline), and
separate old log-probs on the first pass over a sampling (the policy that sampled is the policy that is
trained, so its own detached log-probs are the old ones).

Source: Shao et al. 2024, DeepSeekMath (arXiv 2402.03300), section 4.1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final

import torch

from lydite.adapter_folder import save_adapter_atomically
from lydite.checkpoint import Checkpoint, save_checkpoint
from lydite.config import RunConfig
from lydite.data import indices_for_step
from lydite.errors import ModelError
from lydite.evaluate import evaluate
from lydite.known_logps import KnownLogps
from lydite.lengths import lengths
from lydite.measure import Stopwatch, memory
from lydite.objective import (
    Batch,
    LossMetrics,
    build_batch,
    merge_metrics,
    micro_batch_loss,
    update_totals,
    with_advantages,
)
from lydite.observers import tell_step
from lydite.optimizer import learning_rate, make_optimizer
from lydite.policy import Policy
from lydite.prepare import Prepared
from lydite.probes import Probes
from lydite.progress import Progress, seed_for
from lydite.prompts import Prompts
from lydite.records import completion_records, eval_record
from lydite.rollout import Engine, Sampling
from lydite.runfolder import RunFolder
from lydite.types import EvalReport, Prompt, Scored, StepReport

CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best"
ADAPTER: Final = "adapter"


class Trainer:
    """One run's moving parts, and the loop over its steps."""

    def __init__(
        self,
        prepared: Prepared,
        policy: Policy,
        engine: Engine,
        prompts: Prompts,
        folder: RunFolder,
        progress: Progress,
    ) -> None:
        self.config: RunConfig = prepared.config
        self.progress = progress
        self._prepared = prepared
        self._policy = policy
        self._engine = engine
        self._prompts = prompts
        self._folder = folder
        self._optimizer = make_optimizer(policy.trainable().values(), prepared.config.train)
        self._probes = Probes(
            prepared.stack,
            prepared.config.probes,
            prepared.format,
            prepared.config.train.max_steps,
            lambda text: policy.tokenizer(text, add_special_tokens=False).input_ids,
        )
        self._saved_in = 0.0
        if prepared.config.train.gradient_checkpointing:
            policy.checkpoint_activations()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint: weights, optimiser, counts, reward stack and logs."""
        self._policy.load_adapter_state(checkpoint.adapter)
        self._optimizer.load_state_dict(dict(checkpoint.optimizer))
        self.progress = Progress.from_json(checkpoint.state["progress"])
        self._prepared.stack.load_state_dict(checkpoint.state["stack"])
        self._folder.rewind(checkpoint.state["logs"])

    def run(self) -> str:
        """Trains to the end, and says how it ended: `finished` or `early_stop`."""
        train = self.config.train
        self._engine.take_adapter(self._policy)
        if self.progress.step == 0:
            self._first_evaluation()
        while self.progress.step < train.max_steps and not self._out_of_patience():
            step = self.progress.step + 1
            watch = Stopwatch(self._policy.device)
            with watch.part("generate"):
                rollouts = self._engine.generate(
                    self._prompts_of(step), self._sampling(), seed_for(self.config.seed, "sample", step)
                )
            with watch.part("score"):
                scored = with_advantages(
                    self._prepared.stack.score(rollouts, step),
                    scale=train.scale_rewards,
                    aggregate=self.config.stack.aggregate,
                )
            with watch.part("probe"):
                probed = self._probes.round([rollout.prompt for rollout in rollouts], step)
            with watch.part("train"):
                learned = self._learn(step, scored)
            self._engine.take_adapter(self._policy)
            sampled = sum(len(one.token_ids) for rollout in rollouts for one in rollout.completions)
            self.progress.step = step
            self.progress.num_tokens += sampled
            self.progress.saw_reward(scored.metrics.get("reward"))
            heldout = self._evaluate_if_due(step, watch)

            figures = {**scored.metrics, **lengths(scored), **learned, **probed.metrics}
            metrics = {**figures, "num_tokens": float(self.progress.num_tokens)}
            timings = self._timings(watch, scored, sampled)
            self._folder.append("completions.jsonl", completion_records(step, scored))
            if probed.records:
                self._folder.append("probes.jsonl", probed.records)
            self._folder.append("metrics.jsonl", [{"step": step, **metrics}])
            self._folder.append("timings.jsonl", [{"step": step, **timings}])
            if step % train.save_steps == 0 or step == train.max_steps or self._out_of_patience():
                self._save()
            report = StepReport(step, train.max_steps, metrics, timings, scored, heldout)
            tell_step(self._prepared.plugins, report)
        return "finished" if self.progress.step == train.max_steps else "early_stop"

    def _prompts_of(self, step: int) -> list[Prompt]:
        train = self.config.train
        indices = indices_for_step(
            len(self._prompts.train), step, train.prompts_per_step, self.config.seed, shuffle=self.config.data.shuffle
        )
        return [self._prompts.train[index] for index in indices]

    def _sampling(self) -> Sampling:
        train = self.config.train
        return Sampling(
            train.num_generations, train.max_completion_length, train.temperature, train.top_p, train.top_k, train.min_p
        )

    def _learn(self, step: int, scored: Scored) -> dict[str, float]:
        """Every optimiser update that the step's completions feed; figures by TRL's names, means over the updates."""
        train = self.config.train
        batch = build_batch(
            scored,
            pad_token_id=self._policy.pad_token_id,
            device=self._policy.device,
            mask_truncated_completions=train.mask_truncated_completions,
        )
        # Dropout draws from a state that the step alone decides, so that a resumed run draws the same.
        torch.manual_seed(seed_for(self.config.seed, "dropout", step))
        self._policy.train_mode()
        rows = train.per_device_train_batch_size * train.gradient_accumulation_steps
        memo = KnownLogps(self._policy, batch, train, rows)
        done: list[Mapping[str, float]] = []
        for _ in range(train.num_iterations):
            for start in range(0, batch.size, rows):
                done.append(self._update(batch, start, min(start + rows, batch.size), memo))
        self._policy.eval_mode()
        figures = {name: sum(one[name] for one in done) / len(done) for name in done[0]}
        return {**figures, **memo.sampler_gap()}

    def _update(self, batch: Batch, start: int, stop: int, memo: KnownLogps) -> dict[str, float]:
        """One optimiser update on rows `start` to `stop` - 1, in micro-batches."""
        train = self.config.train
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
                f"the gradient of update {self.progress.updates + 1} is not a finite number, so nothing more can be "
                'learned; lower learning_rate or max_grad_norm, or take model.dtype = "bfloat16" if it is float16'
            )
        rate = learning_rate(self.progress.updates, train)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.progress.updates += 1
        return {"loss": sum(losses), "grad_norm": norm, "learning_rate": rate, **merge_metrics(parts)}

    def _evaluate_if_due(self, step: int, watch: Stopwatch) -> EvalReport | None:
        evaluation = self.config.eval
        if evaluation is None or not (step % evaluation.every == 0 or step == self.config.train.max_steps):
            return None
        with watch.part("eval"):
            return self._evaluate(step)

    def _first_evaluation(self) -> None:
        if self.config.eval is None:
            return
        watch = Stopwatch(self._policy.device)
        report = self._evaluate(0)
        self.progress.seconds += watch.total
        start = StepReport(0, self.config.train.max_steps, {}, memory(self._policy.device), None, report)
        tell_step(self._prepared.plugins, start)

    def _evaluate(self, step: int) -> EvalReport:
        evaluation, stack = self.config.eval, self._prepared.eval_stack
        assert evaluation is not None
        assert stack is not None
        report = evaluate(
            self._engine,
            self._prompts.heldout,
            stack,
            metric=evaluation.metric,
            max_length=evaluation.max_completion_length or self.config.train.max_completion_length,
            step=step,
        )
        self._folder.append("evals.jsonl", [eval_record(report)])
        if self.progress.saw_evaluation(report):
            self._save_best()
        return report

    def _out_of_patience(self) -> bool:
        patience = self.config.eval.early_stop_patience if self.config.eval else None
        return patience is not None and self.progress.evaluations_since_best >= patience

    def _save_best(self) -> None:
        """Replaces the adapter of the best evaluation; the old one stays until the new one is whole."""
        save_adapter_atomically(self._policy, self._folder.path / CHECKPOINTS / BEST)

    def _save(self) -> None:
        state = {
            "progress": self.progress.to_json(),
            "stack": self._prepared.stack.state_dict(),
            "logs": self._folder.offsets(),
        }
        checkpoint = Checkpoint(self.progress.step, self._policy.adapter_state(), self._optimizer.state_dict(), state)
        before = time.perf_counter()
        save_checkpoint(self._folder.path / CHECKPOINTS, checkpoint, keep=self.config.train.save_total_limit)
        self._saved_in = time.perf_counter() - before

    def _timings(self, watch: Stopwatch, scored: Scored, sampled: int) -> dict[str, float]:
        """Seconds and bytes of the step; a checkpoint's time is told with the step after it."""
        held = memory(self._policy.device)
        spent = {"time/checkpoint": self._saved_in, **watch.seconds}
        self._saved_in = 0.0
        self.progress.seconds += watch.total
        self.progress.generated_seconds += spent["time/generate"]
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, held["memory/peak_bytes"])
        speed = {"tokens_per_second": sampled / spent["time/generate"]}
        return {"step_time": watch.total, **spent, **speed, **held, **scored.timings}

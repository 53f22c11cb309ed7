"""The training loop: from prompts to updates, in the order in which it happens.

What an update makes of the completions is for the run's algorithm to say; see `lydite.algorithms`.
"""

from __future__ import annotations

import logging
import time
from typing import Final, Literal

from lydite.adapter_folder import save_adapter_atomically
from lydite.checkpoint import Checkpoint, save_checkpoint
from lydite.collect import Collected, Collector
from lydite.config import RunConfig
from lydite.distributed import ToldToEnd, check_same_policy, check_same_step, current, with_way_back
from lydite.environments import episode_figures
from lydite.errors import EngineError, ProcessError
from lydite.evaluate import evaluate
from lydite.kept_rollouts import save_rollouts
from lydite.kernels.compiled import count_programs, told
from lydite.learner import Learner
from lydite.lengths import lengths
from lydite.measure import Stopwatch, memory
from lydite.observers import tell_step
from lydite.policy import Policy
from lydite.prepare import Prepared
from lydite.probes import Probes
from lydite.progress import Progress
from lydite.prompts import Prompts
from lydite.records import completion_records, eval_record
from lydite.rollout import Engine
from lydite.runfolder import RunFolder
from lydite.sentinels import Sentinels
from lydite.types import Divergence, EvalReport, Scored, StepReport

logger = logging.getLogger("lydite")
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best"
ADAPTER: Final = "adapter"
_LOOK: Final = (
    "A reward may be exploited: read the completions that it pays most, and see lydite report. "
    "The adapter of the best evaluation is kept in checkpoints/best"
)


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
        self._collector = Collector(prepared, engine, prompts)
        self._sentinels = Sentinels(prepared.config.sentinels, policy, engine)
        self._learner = Learner(policy, prepared.config, self._sentinels, prepared.plugins)
        self._probes = Probes(
            prepared.stack,
            prepared.config.probes,
            prepared.format,
            prepared.config.train.max_steps,
            lambda text: policy.tokenizer(text, add_special_tokens=False).input_ids,
        )
        self._programs = count_programs(policy.device)
        self._step = 0  # the one under way
        self._saved_step = 0
        self._saved_in = 0.0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint: weights, optimiser, counts, reward stack and logs."""
        self._policy.load_adapter_state(checkpoint.adapter)
        self._learner.restore(checkpoint)
        self.progress = Progress.from_json(checkpoint.state["progress"])
        self._prepared.stack.load_state_dict(checkpoint.state["stack"])
        self._collector.load_state_dict(checkpoint.state.get("prompts", {}))
        self._folder.rewind(checkpoint.state["logs"])
        self._saved_step = checkpoint.step

    def run(self) -> str:
        """Trains to the end, and says how it ended: `finished`, `early_stop` or `divergence`.

        Raises:
            EngineError: when the engine fails, twice where it samples; what is finished is saved by then.
            SentinelError: when nothing is learned, or the engine samples from something else.
        """
        try:
            return self._steps()
        except (EngineError, ProcessError, ToldToEnd) as error:
            raise with_way_back(error, self._folder.path, self._step, self._saved_step) from error

    def _steps(self) -> str:
        train = self.config.train
        self._step = self.progress.step
        self._engine.take_adapter(self._policy)
        self._sentinels.canary(self.progress.step)
        if self.progress.step == 0:
            self._first_evaluation()
        self._compiled("the start")
        while self.progress.step < train.max_steps and self._stopped_by() is None:
            step = self._step = self.progress.step + 1
            watch = Stopwatch(self._policy.device)
            collected = self._collected(step, watch)
            scored = collected.asked
            if self.config.sampling.keep_rollouts:
                save_rollouts(self._folder, step, collected.trained)
            with watch.part("probe"):
                probed = self._probes.round([group.prompt for group in scored.groups], step)
            with watch.part("train"):
                learned = self._learner.learn(step, collected.trained, self.progress)
            self._engine.take_adapter(self._policy)
            with watch.part("sentinels"):
                learned.update(self._sentinels.after_hand_over(step))
            sampled = sum(one.generated.sampled for group in scored.groups for one in group.completions)
            self.progress.step = step
            self.progress.num_tokens += sampled
            self.progress.saw_reward(scored.metrics.get("reward"))
            heldout = self._evaluate_if_due(step, watch)

            figures = {**scored.metrics, **lengths(scored), **episode_figures(scored), **learned, **probed.metrics}
            metrics = {**figures, "num_tokens": float(self.progress.num_tokens)}
            timings = self._timings(watch, scored, sampled)
            self._folder.append("completions.jsonl", completion_records(step, scored, collected.left_out))
            self._folder.append("pool.jsonl", collected.standings)
            if probed.records:
                self._folder.append("probes.jsonl", probed.records)
            self._folder.append("metrics.jsonl", [{"step": step, **metrics}])
            self._folder.append("timings.jsonl", [{"step": step, **timings}])
            if step % train.save_steps == 0 or step == train.max_steps or self._stopped_by() is not None:
                check_same_policy(self._policy)
                self._save()
            report = StepReport(step, train.max_steps, metrics, timings, scored, heldout, self._divergence())
            tell_step(self._prepared.plugins, report)
        stopped_by = self._stopped_by() if self.progress.step < train.max_steps else None
        return stopped_by or "finished"

    def _collected(self, step: int, watch: Stopwatch) -> Collected:
        """The step's completions. When the engine fails twice, a process is lost or the run is interrupted while they
        are made, all that is finished is saved before it is told.
        """
        try:
            collected = self._collector.collect(step, watch)
            check_same_step(collected.trained)
            return collected
        except (EngineError, ProcessError, KeyboardInterrupt):
            self._collector.undo()
            if self._saved_step < self.progress.step:
                self._save()
            raise

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
        best = self.progress.saw_evaluation(report)
        divergence = self._divergence()
        self._folder.append("evals.jsonl", [eval_record(report, divergence)])
        if best:
            self._save_best()
        first = self.progress.independence.parted_in_a_row == evaluation.divergence_patience
        if divergence is not None and first and self._folder.writes:  # once, and by one process
            logger.warning("step %d: %s. %s", step, divergence, _LOOK)
        return report

    def _divergence(self) -> Divergence | None:
        """How reward and held-out metric have parted, where the run looks at it."""
        evaluation = self.config.eval
        if evaluation is None or evaluation.on_divergence == "off":
            return None
        return self.progress.independence.divergence(evaluation.divergence_patience)

    def _stopped_by(self) -> Literal["early_stop", "divergence"] | None:
        """What ends the run before its last step; None while it goes on."""
        evaluation = self.config.eval
        if evaluation is None:
            return None
        if evaluation.on_divergence == "stop" and self._divergence() is not None:
            return "divergence"
        patience = evaluation.early_stop_patience
        return "early_stop" if patience is not None and self.progress.evaluations_since_best >= patience else None

    def _save_best(self) -> None:
        """Replaces the adapter of the best evaluation; the old one stays until the new one is whole."""
        if self._folder.writes:
            save_adapter_atomically(self._policy, self._folder.path / CHECKPOINTS / BEST)

    def _save(self) -> None:
        state = {
            "progress": self.progress.to_json(),
            "stack": self._prepared.stack.state_dict(),
            "prompts": self._collector.state_dict(),
            "logs": self._folder.offsets(),
        }
        checkpoint = Checkpoint(
            self.progress.step,
            self._policy.adapter_state(),
            self._learner.optimizer.state_dict(),
            state,
            self._learner.state_beside(),
        )
        before = time.perf_counter()
        if self._folder.writes:
            save_checkpoint(self._folder.path / CHECKPOINTS, checkpoint, keep=self.config.train.save_total_limit)
        self._saved_step = self.progress.step
        self._saved_in = time.perf_counter() - before

    def _timings(self, watch: Stopwatch, scored: Scored, sampled: int) -> dict[str, float]:
        """Seconds and bytes of the step; a checkpoint's time is told with the step after it."""
        held = memory(self._policy.device)
        between = {f"between/{part}": seconds for part, seconds in current().take_spent().items()}
        spent = {"time/checkpoint": self._saved_in, **watch.seconds, **between}
        compiled = self._compiled(f"step {self._step}")
        self._saved_in = 0.0
        self.progress.seconds += watch.total
        self.progress.generated_seconds += spent["time/generate"]
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, held["memory/peak_bytes"])
        speed = {"tokens_per_second": sampled / spent["time/generate"]}
        return {"step_time": watch.total, **spent, **speed, **held, **compiled, **scored.timings}

    def _compiled(self, when: str) -> dict[str, float]:
        """Programs for the GPU that have been compiled or read since the last time, and the seconds of it."""
        if self._programs is None:
            return {}
        counted = self._programs.take()
        if self._folder.writes and (line := told(when, counted)):
            logger.info(line)
        return {"kernels/compiled": float(counted.anew), "kernels/compile_seconds": counted.seconds}

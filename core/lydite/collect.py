"""From a step's number to its scored completions: which prompts are asked, what is sampled, what it is worth."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lydite.measure import Stopwatch
from lydite.objective import with_configured_advantages
from lydite.pool import Chooser, refill_size, teaches
from lydite.prepare import Prepared
from lydite.progress import seed_for
from lydite.prompts import Prompts
from lydite.rewards import RewardStack
from lydite.rewards.rounds import as_one_step
from lydite.rollout import Engine, Sampling, generate_with_retry
from lydite.types import Prompt, Scored, ScoredGroup

logger = logging.getLogger("lydite")


@dataclass(frozen=True, slots=True)
class Collected:
    """What a step asked, and what of it is trained on."""

    asked: Scored
    """Every group that was sampled, in order. Metrics are over all of them."""
    trained: Scored
    """The groups that are trained on, with advantages; the same as `asked` where nothing was replaced or dropped."""
    standings: tuple[Mapping[str, Any], ...]
    """The new pass rate of each prompt that could be judged, for `pool.jsonl`."""

    @property
    def left_out(self) -> frozenset[str]:
        """The sample ids of the groups that are not trained on."""
        trained = {group.prompt.sample.id for group in self.trained.groups}
        return frozenset(group.prompt.sample.id for group in self.asked.groups) - trained


@dataclass(frozen=True, slots=True)
class _Round:
    """What one round of a step asked."""

    scored: Scored
    teach: tuple[bool, ...]
    """Of each group, whether it is worth training on."""


class Collector:
    """Asks the engine and the reward stack of one run."""

    def __init__(self, prepared: Prepared, engine: Engine, prompts: Prompts) -> None:
        self._prepared = prepared
        self._engine = engine
        self._prompts = prompts
        self._sampling = prepared.config.sampling
        self._told = False
        self._stack_before = prepared.stack.state_dict()
        samples = [prompt.sample for prompt in prompts.train]
        self._chooser = Chooser(samples, prepared.config, _passing(prepared.stack, self._sampling.pass_by))

    def collect(self, step: int, watch: Stopwatch) -> Collected:
        """The step's completions with rewards and advantages; `watch` gets the parts `generate` and `score`.

        Raises:
            EngineError: when the engine fails twice; what was done by then can be forgotten with `undo`.
        """
        self._chooser.begin_step()
        self._stack_before = self._prepared.stack.state_dict()
        rounds = list(self._rounds(step, watch))
        asked = as_one_step([one.scored for one in rounds])
        standings = tuple(self._chooser.saw(asked.groups, step))
        teach = [one for of_round in rounds for one in of_round.teach]
        chosen = self._trained_on(teach)
        with watch.part("score"):
            trained = with_configured_advantages(
                replace(asked, groups=tuple(asked.groups[place] for place in chosen)), self._prepared.config
            )
        groups = list(asked.groups)
        for place, group in zip(chosen, trained.groups, strict=True):
            groups[place] = group
        metrics = {**asked.metrics, **self._figures(teach, len(chosen), len(rounds)), **self._chooser.figures()}
        self._tell_once(step, metrics)
        return Collected(
            replace(asked, groups=tuple(groups), metrics=metrics), replace(trained, metrics=metrics), standings
        )

    def undo(self) -> None:
        """Order, pool and rewards as they were before the last step was collected, for a checkpoint of that point."""
        self._chooser.undo_step()
        self._prepared.stack.load_state_dict(self._stack_before)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from, as JSON: the order's place, and how hard each prompt was."""
        return self._chooser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is not that of a run like this.
        """
        self._chooser.load_state_dict(state)

    @property
    def _wanted(self) -> int:
        return self._prepared.config.train.prompts_per_step

    def _rounds(self, step: int, watch: Stopwatch) -> Iterator[_Round]:
        """The step's own prompts, and then refills until enough groups teach something."""
        busy: set[int] = set()
        teaching, size = 0, self._wanted
        for _ in range(1 + self._sampling.max_refills):
            indices = self._chooser.choose(size, step, busy)
            if not indices:
                return
            scored = self._scored([self._prompts.train[index] for index in indices], step, watch)
            busy.update(indices)
            teach = tuple(map(self._teaches, scored.groups))
            yield _Round(scored, teach)
            teaching += sum(teach)
            if teaching >= self._wanted:
                return
            size = refill_size(self._wanted - teaching, len(busy), teaching, self._wanted)

    def _scored(self, prompts: Sequence[Prompt], step: int, watch: Stopwatch) -> Scored:
        """One round. All of a step's rounds draw by one seed: what a prompt's completions are does not depend on it."""
        with watch.part("generate"):
            seed = seed_for(self._prepared.config.seed, "sample", step)
            rollouts = generate_with_retry(self._engine, prompts, self._drawn(), seed)
        with watch.part("score"):
            return self._prepared.stack.score(rollouts, step)

    def _trained_on(self, teach: Sequence[bool]) -> list[int]:
        """The places of the groups to train on: the first that teach something, and flat ones where there is room.

        A step in which nothing teaches has flat groups even when they are to be dropped: it needs completions.
        """
        flat = [place for place, teaches_something in enumerate(teach) if not teaches_something]
        teaching = [place for place, teaches_something in enumerate(teach) if teaches_something][: self._wanted]
        if self._sampling.flat_groups == "keep" or not teaching:
            teaching += flat[: self._wanted - len(teaching)]
        return sorted(teaching)

    def _figures(self, teach: Sequence[bool], trained: int, rounds: int) -> dict[str, float]:
        """What dynamic sampling did; nothing where it is off."""
        if not self._is_dynamic:
            return {}
        teaching = sum(teach)
        return {
            "sampling/refills": float(rounds - 1),
            "sampling/asked_groups": float(len(teach)),
            "sampling/flat_groups": float(len(teach) - teaching),
            "sampling/trained_groups": float(trained),
            "sampling/missing_groups": float(max(0, self._wanted - teaching)),
            "sampling/surplus_groups": float(max(0, teaching - self._wanted)),
        }

    def _tell_once(self, step: int, metrics: Mapping[str, float]) -> None:
        """Says the first time that refills end at their cap; the metrics say it every time."""
        missing, refills = metrics.get("sampling/missing_groups", 0.0), self._sampling.max_refills
        if self._told or not missing or not refills:
            return
        self._told = True
        rest = "flat groups fill it" if self._sampling.flat_groups == "keep" else "it goes on without"
        logger.warning(
            "step %d: after %d refills %d of its %d groups still have rewards that do not differ; %s. "
            "sampling/missing_groups in metrics.jsonl counts them at every step",
            step, int(metrics["sampling/refills"]), int(missing), self._wanted, rest,
        )  # fmt: skip

    @property
    def _is_dynamic(self) -> bool:
        return self._sampling.max_refills > 0 or self._sampling.flat_groups == "drop"

    def _teaches(self, group: ScoredGroup) -> bool:
        """True when some completion of the group has an advantage; of any group where dynamic sampling is off."""
        if not self._is_dynamic:
            return True
        config = self._prepared.config
        alone = with_configured_advantages(Scored((group,), {}, {}), config).groups[0]
        return teaches(alone, by_component=config.stack.aggregate == "normalize_then_sum")

    def _drawn(self) -> Sampling:
        train = self._prepared.config.train
        return Sampling(
            train.num_generations, train.max_completion_length, train.temperature, train.top_p, train.top_k, train.min_p
        )


def _passing(stack: RewardStack, pass_by: Sequence[str]) -> Sequence[str]:
    """The rewards that say whether a completion passed: those that are named, or that pay for the answer, or all."""
    return pass_by or stack.names_that_pay_for("answer") or stack.judged_names or stack.names

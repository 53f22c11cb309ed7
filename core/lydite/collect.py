"""From a step's number to its scored completions: which prompts are asked, what is sampled, what it is worth."""

from __future__ import annotations

from lydite.data import indices_for_step
from lydite.measure import Stopwatch
from lydite.objective import with_advantages
from lydite.prepare import Prepared
from lydite.progress import seed_for
from lydite.prompts import Prompts
from lydite.rollout import Engine, Sampling, generate_with_retry
from lydite.types import Prompt, Scored


class Collector:
    """Asks the engine and the reward stack of one run."""

    def __init__(self, prepared: Prepared, engine: Engine, prompts: Prompts) -> None:
        self._prepared = prepared
        self._engine = engine
        self._prompts = prompts

    def collect(self, step: int, watch: Stopwatch) -> Scored:
        """The step's completions with rewards and advantages; `watch` gets the parts `generate` and `score`.

        Raises:
            EngineError: when the engine fails twice.
        """
        config = self._prepared.config
        with watch.part("generate"):
            seed = seed_for(config.seed, "sample", step)
            rollouts = generate_with_retry(self._engine, self._prompts_of(step), self._sampling(), seed)
        with watch.part("score"):
            return with_advantages(
                self._prepared.stack.score(rollouts, step),
                scale=config.train.scale_rewards,
                aggregate=config.stack.aggregate,
            )

    def _prompts_of(self, step: int) -> list[Prompt]:
        config = self._prepared.config
        indices = indices_for_step(
            len(self._prompts.train), step, config.train.prompts_per_step, config.seed, shuffle=config.data.shuffle
        )
        return [self._prompts.train[index] for index in indices]

    def _sampling(self) -> Sampling:
        train = self._prepared.config.train
        return Sampling(
            train.num_generations, train.max_completion_length, train.temperature, train.top_p, train.top_k, train.min_p
        )

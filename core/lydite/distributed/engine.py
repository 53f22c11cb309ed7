"""One engine in each process, and what all of them sampled in every one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lydite.distributed.processes import Processes
from lydite.rollout import CanaryAnswer, Engine, Sampling
from lydite.types import Generated, Prompt, Rollout

if TYPE_CHECKING:
    from lydite.policy import Policy


class SharedEngine:
    """The engines of all processes as one: each samples whole groups of its own prompts, and all get every rollout.

    What a completion draws depends on the seed, its sample and its place in the group, so that the number of
    processes changes nothing about what is sampled.
    """

    def __init__(self, own: Engine, processes: Processes) -> None:
        self.name = own.name
        self.shares_weights = own.shares_weights
        self._own = own
        self._processes = processes

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order; see `Engine.generate`.

        Raises:
            EngineError: in all processes, when the engine of one fails; asked again, it may succeed.
            ProcessError: when another process is gone.
        """

        def sampled(places: Sequence[int]) -> list[tuple[Generated, ...]]:
            with self._processes.in_step():
                chosen = [prompts[place] for place in places]
                made = self._own.generate(chosen, sampling, seed) if chosen else []
                return [one.completions for one in made]  # all have the prompts, whose columns may be large

        groups = self._processes.spread(len(prompts), sampled)
        return [Rollout(prompt, group) for prompt, group in zip(prompts, groups, strict=True)]

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """What this process's own engine answers: each is checked by itself."""
        with self._processes.in_step():
            return self._own.canary(prompt, tokens)

    def take_adapter(self, policy: Policy) -> None:
        """Makes this process's engine sample from what the policy, the same in all processes, has learned."""
        self._own.take_adapter(policy)

    def close(self) -> None:
        """Closes this process's engine."""
        self._own.close()

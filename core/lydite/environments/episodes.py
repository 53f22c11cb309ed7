"""An engine that plays episodes: another engine speaks for the model, and environments answer it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from lydite.environments.lanes import Call, Called, Lanes
from lydite.environments.offered import Environments, close
from lydite.environments.playing import Begun, Playing
from lydite.environments.speech import Speech
from lydite.errors import PluginError
from lydite.policy import Policy
from lydite.rollout import CanaryAnswer, Engine, Sampling
from lydite.types import Prompt, Rollout

logger = logging.getLogger("lydite")


class EpisodeEngine:
    """Plays an episode for each completion, all of them in step: a turn of all that go on is one batch.

    Completions are exact: what the model said stays token by token as the inner engine sampled it, and what an
    environment says is put behind it by the model's chat template. What a turn draws depends on the seed, the sample,
    the place in the group and the number of the turn.
    """

    def __init__(self, engine: Engine, environments: Environments, policy: Policy) -> None:
        """Raises ModelError when the model's chat template cannot be continued turn by turn."""
        self.name = engine.name
        self.shares_weights = engine.shares_weights
        self._inner = engine
        self._environments = environments
        self._policy = policy
        self._speech = Speech(policy, environments.config.max_observation_tokens)
        self._lanes = Lanes(environments.config.concurrency)
        self._told: set[str] = set()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order; `sampling.max_completion_length` is for whole episodes.

        Raises:
            EngineError: as the inner engine does.
            PluginError: when every environment broke, so that there is nothing to learn from.
        """
        config, whole = self._environments.config, sampling.max_completion_length
        most = min(config.max_reply_tokens or whole, whole)
        groups = [
            [
                Playing(prompt, index, room=whole, max_turns=config.max_turns, deadline=config.deadline)
                for index in range(sampling.num_generations)
            ]
            for prompt in prompts
        ]
        every = [one for group in groups for one in group]
        try:
            for one, begun in zip(every, self._begin(every), strict=True):
                one.began(begun)
            first = self._inner.generate(prompts, replace(sampling, max_completion_length=most), seed)
            for one, said in zip(every, (said for rollout in first for said in rollout.completions), strict=True):
                one.hear(said, most, self._text_of)
            while live := self._answer(every):
                longest = min(most, max(one.room for one in live))
                alone = replace(sampling, num_generations=1, max_completion_length=longest)
                for one, rollout in zip(
                    live, self._inner.generate([one.continuation() for one in live], alone, seed), strict=True
                ):
                    one.hear(rollout.completions[0], most, self._text_of)
        finally:
            self._end(every)
        self._tell(every)
        return [
            Rollout(prompt, tuple(one.generated(self._raw_of) for one in group))
            for prompt, group in zip(prompts, groups, strict=True)
        ]

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """The inner engine's answer: one turn, and no environment."""
        return self._inner.canary(prompt, tokens)

    def take_adapter(self, policy: Policy) -> None:
        """Makes the inner engine sample from what the policy has learned."""
        self._policy = policy
        self._inner.take_adapter(policy)

    def close(self) -> None:
        """Ends the environments' threads, and the inner engine."""
        self._lanes.close()
        self._inner.close()

    def _begin(self, every: Sequence[Playing]) -> list[Called[Begun]]:
        return self._lanes.run([(place, one.beginning(self._environments)) for place, one in enumerate(every)])

    def _answer(self, every: Sequence[Playing]) -> list[Playing]:
        """Asks the environments of the episodes that go on; those that still do afterwards."""
        asked = [(place, one) for place, one in enumerate(every) if one.ended is None]
        observed = self._lanes.run([(place, one.answering()) for place, one in asked])
        for (_, one), called in zip(asked, observed, strict=True):
            one.answered(called, self._speech)
        return [one for _, one in asked if one.ended is None]

    def _end(self, every: Sequence[Playing]) -> None:
        """Closes every environment, in its own thread."""
        left = [(place, one.environment) for place, one in enumerate(every) if one.environment is not None]
        deadline = self._environments.config.deadline
        calls = [(place, Call(partial(close, environment), deadline)) for place, environment in left]
        for called in self._lanes.run(calls):
            if called.error is not None or called.late:
                self._warn(f"{self._environments.spoken} did not close: {called.error or 'it took too long'}")

    def _tell(self, every: Sequence[Playing]) -> None:
        """Says what broke, once for each kind of failure.

        Raises:
            PluginError: when everything did.
        """
        broken = [one for one in every if one.failure is not None]
        if broken and len(broken) == len(every):
            failure = broken[0].failure
            raise PluginError(
                f"{self._environments.spoken} failed in all {len(every)} episodes; the first, of sample "
                f"{broken[0].prompt.sample.id!r}: {type(failure).__name__}: {failure}"
            ) from failure
        for one in broken:
            self._warn(
                f"{self._environments.spoken} failed, and the completion is left out of training: "
                f"{type(one.failure).__name__}: {one.failure}"
            )

    def _warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)

    def _text_of(self, token_ids: tuple[int, ...]) -> str:
        return self._policy.decode(token_ids)[0]

    def _raw_of(self, token_ids: tuple[int, ...]) -> str:
        return self._policy.decode(token_ids)[1]


def with_environment(engine: Engine, environments: Environments | None, policy: Policy) -> Engine:
    """The engine, or one that plays episodes on it where the run has an environment.

    Raises:
        ModelError: when the model's chat template cannot be continued turn by turn.
    """
    return engine if environments is None else EpisodeEngine(engine, environments, policy)

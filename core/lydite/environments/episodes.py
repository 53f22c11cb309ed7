"""An engine that plays episodes: another engine speaks for the model, and environments answer it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from lydite.environments.failures import described
from lydite.environments.lanes import Call, Lanes
from lydite.environments.offered import Environments, close
from lydite.environments.playing import Playing
from lydite.environments.speech import Speech
from lydite.policy import Policy
from lydite.rollout import CanaryAnswer, Engine, Sampling, conversing
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
            self._begin(every)
            with conversing(self._inner):
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
        self._environments.close()
        self._inner.close()

    def _begin(self, every: Sequence[Playing]) -> None:
        """Makes and resets the environments of all episodes."""
        begun = self._lanes.run([(place, one.beginning(self._environments)) for place, one in enumerate(every)])
        for one, called in zip(every, begun, strict=True):
            one.began(called)
            self._tell(one)

    def _answer(self, every: Sequence[Playing]) -> list[Playing]:
        """Asks the environments of the episodes that go on; those that still do afterwards."""
        asked = [(place, one) for place, one in enumerate(every) if one.ended is None]
        observed = self._lanes.run([(place, one.answering()) for place, one in asked])
        for (_, one), called in zip(asked, observed, strict=True):
            one.answered(called, self._speech)
            self._tell(one)
        return [one for _, one in asked if one.ended is None]

    def _end(self, every: Sequence[Playing]) -> None:
        """Closes every environment, in its own thread."""
        left = [(place, one.environment) for place, one in enumerate(every) if one.environment is not None]
        deadline = self._environments.config.deadline
        calls = [(place, Call(partial(close, environment), deadline)) for place, environment in left]
        for called in self._lanes.run(calls):
            if called.error is not None or called.late:
                why = "it took too long" if called.error is None else described(called.error)
                self._warn("close", f"{self._environments.spoken} did not close: {why}")

    def _tell(self, one: Playing) -> None:
        """Says what broke as soon as it has, once for each place that it broke in."""
        if one.error:
            left_out = ", and the completion is left out of training" if one.ended == "error" else ""
            self._warn(
                one.broke_at,
                f"{self._environments.spoken} failed with sample {one.prompt.sample.id!r}{left_out}: {one.error}",
            )

    def _warn(self, place: str, message: str) -> None:
        if place not in self._told:
            self._told.add(place)
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

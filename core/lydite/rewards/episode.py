"""The reward `environment`: what the run's environment paid. Only a run that has an environment has it."""

from __future__ import annotations

from typing import Final

from lydite.config import RunConfig
from lydite.config_checks import EPISODE_REWARD
from lydite.contracts import reward
from lydite.plugins import Plugins
from lydite.types import Completion, Verdict


@reward(isolation="inline", deterministic=False)
def environment(completion: Completion) -> Verdict:
    """What the run's environment paid in all for this completion; it abstains where it paid nothing.

    An episode whose environment broke is an error, and one that ran out of the environment's time a timeout.
    """
    episode = completion.episode
    if episode is None:
        return Verdict.abstain("environment.none")
    if episode.ended == "error":
        return Verdict.error("environment.error")
    if episode.ended == "deadline":
        return Verdict.timeout("environment.deadline")
    paid = episode.reward
    return Verdict.abstain("environment.no_reward") if paid is None else Verdict(paid)


_REWARD: Final = {EPISODE_REWARD: environment}


def with_episode_reward(config: RunConfig, plugins: Plugins) -> Plugins:
    """The plugins with the reward beside theirs, where the run has an environment."""
    if config.environment is None or EPISODE_REWARD in plugins.offers["rewards"]:
        return plugins
    return plugins.with_own(_REWARD)

"""A second try where an engine failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lydite.errors import EngineError, PluginError
from lydite.rollout.engine import Engine, Sampling
from lydite.types import Prompt, Rollout

logger = logging.getLogger("lydite")


def generate_with_retry(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
    """What `engine.generate` gives, asked once more where it failed.

    Nothing random has a state, so the second answer is what the first would have been.

    Raises:
        EngineError: when it fails twice.
        PluginError: when the environment broke in every episode, so that there is nothing to learn from.
    """
    try:
        rollouts = engine.generate(prompts, sampling, seed)
    except EngineError as error:
        logger.warning("the engine %s failed and is asked once more: %s", engine.name, error)
        rollouts = engine.generate(prompts, sampling, seed)
    _check_played(rollouts)
    return rollouts


def _check_played(rollouts: Sequence[Rollout]) -> None:
    """Nothing, unless all episodes broke: those of all processes, so that their number decides nothing."""
    episodes = [(rollout.prompt.sample.id, one.episode) for rollout in rollouts for one in rollout.completions]
    broken = [(name, one.error) for name, one in episodes if one is not None and one.ended == "error"]
    if broken and len(broken) == len(episodes):
        name, error = broken[0]
        raise PluginError(
            f"the environment failed in all {len(broken)} episodes; the first, of sample {name!r}: {error}"
        )

"""A second try where an engine failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lydite.errors import EngineError
from lydite.rollout.engine import Engine, Sampling
from lydite.types import Prompt, Rollout

logger = logging.getLogger("lydite")


def generate_with_retry(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
    """What `engine.generate` gives, asked once more where it failed.

    Nothing random has a state, so the second answer is what the first would have been.

    Raises:
        EngineError: when it fails twice.
    """
    try:
        return engine.generate(prompts, sampling, seed)
    except EngineError as error:
        logger.warning("the engine %s failed and is asked once more: %s", engine.name, error)
    return engine.generate(prompts, sampling, seed)

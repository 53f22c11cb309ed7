"""The engine `scripted`: says what it is told. For tests, and for scoring answers that exist already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lydite.errors import ConfigError
from lydite.rollout.engine import CanaryAnswer, Sampling
from lydite.types import Generated, Prompt, Rollout

if TYPE_CHECKING:
    from lydite.policy import Policy


class ScriptedEngine:
    """Answers from a script: completion g of prompt p is line p * G + g, from the top again at its end.

    With a tokenizer the lines are its tokens, its end token behind them; without one, each word or white
    space is a token whose number means nothing.
    """

    name = "scripted"
    shares_weights = False

    def __init__(self, script: Sequence[str], tokenizer: Any = None) -> None:
        if not script:
            raise ConfigError("engine.use = 'scripted' needs engine.script, the answers it gives in turn")
        self._script = tuple(script)
        self._tokenizer = tokenizer

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order; answers longer than the limit are cut to it."""
        group = sampling.num_generations
        return [
            Rollout(
                prompt,
                tuple(
                    self._say(self._script[(place * group + index) % len(self._script)], sampling.max_completion_length)
                    for index in range(group)
                ),
            )
            for place, prompt in enumerate(prompts)
        ]

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """None: a script has no log-probabilities."""
        return None

    def take_adapter(self, policy: Policy) -> None:
        """Learns nothing."""

    def close(self) -> None:
        """Holds nothing."""

    def _say(self, line: str, limit: int) -> Generated:
        if self._tokenizer is None:
            pieces = re.findall(r"\s+|\S+", line)
            if len(pieces) < limit:  # the end is a token too
                return Generated(tuple(range(len(pieces) + 1)), line, line, "stop")
            cut = "".join(pieces[:limit])
            return Generated(tuple(range(limit)), cut, cut, "length")
        ids = list(self._tokenizer(line, add_special_tokens=False).input_ids)
        end = self._tokenizer.eos_token_id
        if len(ids) < limit and end is not None:
            return Generated((*ids, end), line, line + self._tokenizer.decode([end]), "stop")
        cut = self._tokenizer.decode(ids[:limit])
        return Generated(tuple(ids[:limit]), cut, cut, "length")

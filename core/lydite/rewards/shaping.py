"""The component `length`: what a configuration's [length] table comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lydite.config import LengthConfig
from lydite.rewards.compose import Rule
from lydite.rewards.lengths import cosine, soft_overlong, target
from lydite.types import Verdict

NAME: Final = "length"


@dataclass(frozen=True, slots=True)
class LengthShaping:
    """A shape over tokens, and how it counts."""

    config: LengthConfig

    def verdict(self, tokens: int) -> Verdict:
        """The shape's value for a completion of that many tokens, whether or not it passed anything."""
        config = self.config
        if config.kind == "soft_overlong":
            score = soft_overlong(tokens, max_length=config.max_length, cache=config.cache)
        elif config.kind == "cosine":
            score = cosine(tokens, max_length=config.max_length)
        else:
            score = target(tokens, max_length=config.max_length, target=config.target)
        return Verdict(score, reason=config.kind, parsed=str(tokens))

    @property
    def rule(self) -> Rule:
        """Its weight, and the reward that must have passed."""
        return Rule(weight=self.config.weight, only_if=self.config.only_if)

"""The component `length`: what a configuration's [length] table comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lydite.config import LengthConfig
from lydite.errors import ConfigError
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


def length_shaping(config: LengthConfig) -> LengthShaping:
    """The shaping, its numbers checked against each other.

    Raises:
        ConfigError: when they contradict each other.
    """
    if config.kind == "soft_overlong" and config.cache > config.max_length:
        raise ConfigError(f"length.cache = {config.cache} is more than length.max_length = {config.max_length}")
    if config.kind == "target" and not 0 < config.target < config.max_length:
        raise ConfigError(
            f"length.target must lie between 0 and length.max_length = {config.max_length}, got {config.target}"
        )
    if config.kind != "soft_overlong" and config.cache:
        raise ConfigError(f"length.cache is for soft_overlong; length.kind is {config.kind!r}")
    if config.kind != "target" and config.target:
        raise ConfigError(f"length.target is for target; length.kind is {config.kind!r}")
    return LengthShaping(config)

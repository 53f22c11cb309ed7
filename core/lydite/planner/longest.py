"""The longest completion that fits, behind a prompt of the configured length: by arithmetic, or by a trial's word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.planner.memory import FreeMemory
from lydite.planner.plan import EngineName, plan_memory
from lydite.planner.shapes import ModelShapes


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest sequence of a run, in tokens."""

    prompt: int
    completion: int
    """0 when not even one token fits behind the prompt."""
    context: int
    """What the model itself can read."""

    @property
    def tokens(self) -> int:
        """Of both."""
        return self.prompt + self.completion

    @property
    def is_whole_context(self) -> bool:
        """True when it is the model that sets the limit."""
        return self.tokens == self.context


def longest(config: RunConfig, shapes: ModelShapes, memory: FreeMemory, engine: EngineName) -> Longest:
    """The longest completion with which the run's plan fits, everything else being as configured.

    Raises:
        ConfigError: when the prompts alone fill the model's context.
    """
    prompt = config.data.max_prompt_length
    room = completion_room(config, shapes)

    def fits(completion: int) -> bool:
        return plan_memory(with_completions(config, completion), shapes, memory, engine).fits

    return Longest(prompt, largest(fits, 0, room), shapes.context_length)


def completion_room(config: RunConfig, shapes: ModelShapes) -> int:
    """Tokens that the model's context has behind the longest prompt.

    Raises:
        ConfigError: when there is none.
    """
    prompt = config.data.max_prompt_length
    if prompt >= shapes.context_length:
        raise ConfigError(
            f"data.max_prompt_length = {prompt} leaves no room for a completion in the model's context of "
            f"{shapes.context_length}; lower it"
        )
    return shapes.context_length - prompt


def with_completions(config: RunConfig, length: int) -> RunConfig:
    """The run with completions of at most so many tokens, the evaluation's included."""
    train = config.train.model_copy(update={"max_completion_length": length})
    evaluation = config.eval and config.eval.model_copy(update={"max_completion_length": None})
    return config.model_copy(update={"train": train, "eval": evaluation})


def largest(fits: Callable[[int], bool], low: int, high: int, *, within: float = 0.0) -> int:
    """The largest number up to `high` that fits, where `low` does and smaller ones do whenever a larger one does.

    `within`: the share of it that the answer may be too small by, for trials that take their time.
    """
    while high - low > max(0, int(within * low)):
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def largest_near(fits: Callable[[int], bool], guess: int, high: int, *, within: float) -> int:
    """The same where 0 fits and a guess is at hand, which is tried first and left by a quarter at a time."""
    if not fits(guess):
        below = guess
        while below and not fits(below := below * 3 // 4):
            guess = below
        return largest(fits, below, guess - 1, within=within) if below else 0
    while guess < high:
        above = min(high, max(guess + 1, guess * 5 // 4))
        if not fits(above):
            return largest(fits, guess, above - 1, within=within)
        guess = above
    return guess

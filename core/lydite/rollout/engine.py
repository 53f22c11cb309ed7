"""What every engine does: prompts in, sampled completions out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lydite.types import Prompt, Rollout

if TYPE_CHECKING:
    from lydite.policy import Policy


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn."""

    num_generations: int
    """Completions of each prompt (G)."""
    max_completion_length: int
    """In tokens, the end token included."""
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    top_k: int = 0
    min_p: float | None = None


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """What an engine answers to a fixed prompt, greedily, and how sure it was."""

    token_ids: tuple[int, ...]
    logps: tuple[float, ...]
    """Log-probabilities of the tokens, at temperature 1."""
    cached_tokens: int
    """Tokens of the prompt that were not computed but found in a prefix cache."""


class Engine(Protocol):
    """Samples completions from the policy as it is now."""

    name: str
    shares_weights: bool
    """True when it reads the very tensors that are trained, so that it cannot fall behind them."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        """One rollout for each prompt, in order.

        The same prompts, sampling and seed give the same completions. What one completion draws depends on
        the seed, its prompt's sample id and its place in the group, not on what is decoded beside it.

        Raises:
            EngineError: when it fails; asked again, it may succeed.
        """
        ...

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        """The greedy answer of at most so many tokens; None from an engine that has no log-probabilities."""
        ...

    def take_adapter(self, policy: Policy) -> None:
        """Makes the next `generate` sample from what the policy has learned."""
        ...

    def close(self) -> None:
        """Gives back memory and processes."""
        ...


@runtime_checkable
class HoldsConversations(Protocol):
    """An engine that can keep what it has computed of a conversation until its next turn."""

    def conversing(self) -> AbstractContextManager[None]:
        """While open, a prompt that begins as a sequence of the last `generate` did is read from there on.

        The same tokens as without. The policy must not change while it is open.
        """
        ...


def conversing(engine: Engine) -> AbstractContextManager[None]:
    """The engine's own `conversing`; nothing from an engine that reads each prompt as a whole, or in its own way."""
    return engine.conversing() if isinstance(engine, HoldsConversations) else nullcontext()

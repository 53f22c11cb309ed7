"""What is said: messages, what an environment says to a turn of the model, and what an episode came to.

The names are those of `lydite.types`, which everything else takes them from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12


class Message(TypedDict):
    """One turn of a conversation: who speaks, and what is said."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What an environment says to a turn of the model.

    Numbers of other libraries, such as NumPy's, become Python's.

    Raises:
        TypeError: on content that is neither text nor messages, and on a reward that is no number.
        ValueError: on a reward that is not finite, and where nothing is said although the episode goes on.
    """

    content: str | tuple[Message, ...] = ()
    """A user's message as plain text, or messages of the roles `user` and `tool`."""
    reward: float | None = None
    """What the turn earned; None where it is not the time to say."""
    done: bool = False
    """The episode is over; what is said then is kept in the transcript and not read by the model."""

    def __post_init__(self) -> None:
        if not isinstance(self.content, str):
            if isinstance(self.content, Mapping) or not isinstance(self.content, Iterable):
                raise TypeError(
                    f"an observation's content is text, or messages {{role, content}}, got {self.content!r:.200}"
                )
            object.__setattr__(self, "content", tuple(self.content))
        if self.reward is not None:
            if not hasattr(self.reward, "__float__"):
                raise TypeError(f"an observation's reward must be a finite number or None, got {self.reward!r:.200}")
            object.__setattr__(self, "reward", float(self.reward))
            if not math.isfinite(self.reward):
                raise ValueError(f"an observation's reward must be a finite number or None, got {self.reward!r}")
        object.__setattr__(self, "done", bool(self.done))
        if not self.done and not self.content:
            raise ValueError("an observation that does not end the episode must say something; its content is empty")

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is said, as messages."""
        if not isinstance(self.content, str):
            return tuple(self.content)
        return ({"role": "user", "content": self.content},) if self.content else ()


Ended: TypeAlias = Literal["done", "max_turns", "length", "deadline", "error"]


@dataclass(frozen=True, slots=True)
class Episode:
    """What happened between one completion and its environment."""

    turns: tuple[Message, ...]
    """All that was said after the prompt, in order; the model's messages have the role `assistant`."""
    rewards: tuple[float | None, ...]
    """What the environment paid for each of the model's turns that it answered."""
    ended: Ended
    """`done`: the environment said so. `length`: no room was left. `error`, `deadline`: the environment's own fault."""
    error: str = ""
    """What went wrong in the environment, with `error` and `deadline`."""

    @property
    def reward(self) -> float | None:
        """The sum of the rewards; None when the environment paid none."""
        paid = [one for one in self.rewards if one is not None]
        return math.fsum(paid) if paid else None

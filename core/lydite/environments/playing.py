"""One episode under way: what was said so far, token by token, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from lydite.contracts import Environment
from lydite.environments.failures import described, where
from lydite.environments.lanes import Call, Called
from lydite.environments.offered import Environments, checked_messages
from lydite.environments.speech import Speech
from lydite.types import Ended, Episode, Generated, Message, Observation, Prompt, Sample

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Begun:
    """An environment that has been reset, and what it said then."""

    environment: Environment
    messages: tuple[Message, ...]


class Playing:
    """The episode of one completion."""

    def __init__(self, prompt: Prompt, index: int, *, room: int, max_turns: int, deadline: float) -> None:
        """`room`: tokens after the prompt; `deadline`: seconds of the environment."""
        self.prompt = prompt
        self.index = index
        self.environment: Environment | None = None
        self.ended: Ended | None = None
        self.error = ""
        """What went wrong in the environment."""
        self.broke_at = ""
        """Where it did; equal for two failures of one kind."""
        self._room, self._max_turns, self._deadline = room, max_turns, deadline
        self._tokens: list[int] = []
        self._trained: list[bool] = []
        self._logps: list[float] | None = []
        self._turns: list[Message] = []
        self._rewards: list[float | None] = []
        self._spoken = 0
        self._reply = ""
        self._finished = False  # the last turn ended by itself
        self._seconds = 0.0

    @property
    def room(self) -> int:
        """Tokens that are left."""
        return self._room - len(self._tokens)

    def beginning(self, environments: Environments) -> Call[Begun]:
        """The call that makes and resets its environment."""
        return self._call(partial(_begun, environments, self.prompt.sample))

    def began(self, called: Called[Begun]) -> None:
        """Takes what came of `beginning`."""
        begun = self._taken(called)
        if begun is None:
            return
        self.environment = begun.environment
        if begun.messages != self.prompt.opening:
            self._broke(
                ValueError(
                    f"reset said {begun.messages!r:.200} to sample {self.prompt.sample.id!r}, and before "
                    f"{self.prompt.opening!r:.200}: it must depend on the sample alone, as all completions of a group "
                    "answer one prompt; seed what is random with sample.id"
                )
            )

    def continuation(self) -> Prompt:
        """What the model reads next. Its sample's name is that of this turn alone, since sampling draws by it."""
        sample = self.prompt.sample
        name = f"{sample.id} (completion {self.index}, turn {self._spoken})"
        return Prompt(Sample(name, sample.prompt), "", (*self.prompt.token_ids, *self._tokens))

    def hear(self, said: Generated, most: int, text_of: Callable[[tuple[int, ...]], str]) -> None:
        """Takes a turn of the model, cut to `most` tokens and to the room there is."""
        most = min(most, self.room)
        cut = len(said.token_ids) > most
        token_ids = said.token_ids[:most]
        self._tokens += token_ids
        self._trained += [True] * len(token_ids)
        if said.logps is None or self._logps is None:
            self._logps = None
        else:
            self._logps += said.logps[:most]
        self._reply = text_of(token_ids) if cut else said.text
        self._finished = said.finish_reason == "stop" and not cut
        self._spoken += 1
        self._turns.append({"role": "assistant", "content": self._reply})

    def answering(self) -> Call[Observation]:
        """The call that asks the environment about the turn."""
        assert self.environment is not None
        return self._call(partial(_observed, self.environment, self._reply))

    def answered(self, called: Called[Observation], speech: Speech) -> None:
        """Takes what came of `answering`; afterwards the episode has ended, or the model speaks next."""
        observation = self._taken(called)
        if observation is None:
            return
        self._rewards.append(observation.reward)
        shown = speech.shown(observation.messages)
        self._turns += shown
        if observation.done:
            self.ended = "done"
        elif self._spoken == self._max_turns:
            self.ended = "max_turns"
        else:
            inserted = speech.tokens(shown, self._tokens[-1])
            if len(inserted) >= self.room:
                self.ended = "length"
                return
            self._tokens += inserted
            self._trained += [False] * len(inserted)
            if self._logps is not None:
                self._logps += [0.0] * len(inserted)

    def generated(self, raw_of: Callable[[tuple[int, ...]], str]) -> Generated:
        """The whole episode as one completion."""
        assert self.ended is not None
        token_ids = tuple(self._tokens)
        return Generated(
            token_ids,
            self._reply,
            raw_of(token_ids),
            "stop" if self._finished and self.ended != "length" else "length",
            None if self._logps is None else tuple(self._logps),
            tuple(self._trained),
            Episode(tuple(self._turns), tuple(self._rewards), self.ended, self.error),
        )

    def _call(self, function: Callable[[], T]) -> Call[T]:
        return Call(function, max(self._deadline - self._seconds, 0.0))

    def _taken(self, called: Called[T]) -> T | None:
        self._seconds += called.seconds
        if called.late:
            self.environment = None  # its thread may still be at work in it
            self.ended = "deadline"
            self.broke_at = "deadline"
            self.error = f"the environment took more than the {self._deadline:g} s that it has for an episode"
        elif called.error is not None:
            self._broke(called.error)
        return called.value

    def _broke(self, error: BaseException) -> None:
        self.ended, self.error = "error", described(error)
        self.broke_at = f"{type(error).__name__} {where(error)}"


def _begun(environments: Environments, sample: Sample) -> Begun:
    environment = environments.make()
    return Begun(environment, checked_messages(environment.reset(sample)))


def _observed(environment: Environment, reply: str) -> Observation:
    observation = environment.step(reply)
    if not isinstance(observation, Observation):
        raise TypeError(f"step gives a lydite.Observation, and this one gave {type(observation).__name__}")
    return replace(observation, content=checked_messages(observation.messages))

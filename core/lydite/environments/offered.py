"""The environment that a configuration names, checked before any model is loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from lydite.config import EnvironmentConfig
from lydite.contracts import Environment, HasTools
from lydite.environments.failures import described
from lydite.environments.lanes import Call, Lanes
from lydite.errors import DataError, PluginError
from lydite.options import check_options
from lydite.plugins import Offer, Plugins
from lydite.types import Message, Sample

ROLES: Final = ("user", "tool")


@dataclass(frozen=True, slots=True)
class Opening:
    """What an episode begins with, beside the sample's own prompt."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    """JSON schemas of what the model may call."""


NOTHING_SAID: Final = Opening((), ())


@dataclass(frozen=True, slots=True)
class Environments:
    """Makes the environments of a run, one for each completion."""

    config: EnvironmentConfig
    offer: Offer
    options: Mapping[str, Any]
    _lanes: Lanes = field(default_factory=lambda: Lanes(1), repr=False, compare=False)

    @property
    def spoken(self) -> str:
        """What messages call it, for example `environment 'games/lake' of lydite-games 0.1.0`."""
        return f"environment {self.config.use!r} of {self.offer.owner}"

    def make(self) -> Environment:
        """A new environment.

        Raises:
            PluginError: when what is made is no environment.
        """
        made = self.offer.thing(**copy.deepcopy(dict(self.options)))
        if not isinstance(made, Environment):
            missing = " and ".join(name for name in ("reset", "step") if not hasattr(made, name))
            raise PluginError(f"{self.spoken} gives a {type(made).__name__}, which has no {missing}")
        return made

    def opening(self, sample: Sample) -> Opening:
        """How the episodes of this sample begin.

        Raises:
            DataError: when the environment cannot begin with this sample, or not within its time.
        """
        (called,) = self._lanes.run([(0, Call(partial(self._opened, sample), self.config.deadline))])
        if called.value is not None:
            return called.value
        why = f"it took longer than environment.deadline = {self.config.deadline:g} s"
        if called.error is not None:
            why = described(called.error)
        raise DataError(f"{self.spoken} cannot begin with sample {sample.id!r}: {why}") from called.error

    def close(self) -> None:
        """Ends the thread that environments were begun in."""
        self._lanes.close()

    def _opened(self, sample: Sample) -> Opening:
        environment = self.make()
        messages = checked_messages(environment.reset(sample))
        tools = tuple(environment.tools) if isinstance(environment, HasTools) else ()
        close(environment)
        return Opening(messages, tools)


def make_environments(config: EnvironmentConfig, plugins: Plugins) -> Environments:
    """The environment that a configuration names.

    Raises:
        UnknownNameError: when no plugin offers it.
        ConfigError: on wrong options.
    """
    offer = plugins.find("environments", config.use)
    options = check_options(f"environment {config.use!r}", offer.thing, config.options)
    return Environments(config, offer, options)


def checked_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages, if an environment may say them; what no file can hold of a text is a `?` in them.

    Raises:
        TypeError: on anything but a list of messages.
        ValueError: on other roles than `user` and `tool`, and on content that is no text.
    """
    if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
        raise TypeError(
            f"reset gives a list of messages {{role, content}}, which may be empty, and this one gave {messages!r:.200}"
        )
    found = []
    for one in messages:
        if not isinstance(one, Mapping) or one.get("role") not in ROLES or not isinstance(one.get("content"), str):
            raise ValueError(
                f"an environment says messages {{role: user or tool, content: text}}, and this one said {one!r:.200}"
            )
        # A lone surrogate, as files are read with `surrogateescape`, breaks tokenizers.
        text = one["content"].encode("utf-8", "replace").decode("utf-8")
        found.append(Message(role=one["role"], content=text))
    return tuple(found)


def close(environment: Environment) -> None:
    """Calls the environment's `close`, if it has one."""
    ending = getattr(environment, "close", None)
    if ending is not None:
        ending()

"""What lydite itself offers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lydite.config import RunConfig
from lydite.contracts import AlgorithmFactory, FormatFactory
from lydite.hookspecs import hookimpl
from lydite.types import FormatError, Parsed


class Plain:
    """The whole text is the answer; only an empty one breaks the format."""

    instructions = ""

    def parse(self, text: str) -> Parsed | FormatError:
        """The text without the white space around it."""
        answer = text.strip()
        return Parsed(answer) if answer else FormatError("answer.empty", "the completion is empty")


def grpo(policy: Any, config: RunConfig) -> Any:
    """Each completion against the others of its group, with any of the losses of `train.loss_type`."""
    return _made("grpo", "Grpo", policy, config)


def rloo(policy: Any, config: RunConfig) -> Any:
    """Each whole completion against the mean of the others of its group; options in [rloo]."""
    return _made("rloo", "Rloo", policy, config)


def online_dpo(policy: Any, config: RunConfig) -> Any:
    """Pairs of a better and a worse completion of one prompt; options in [online_dpo]."""
    return _made("online_dpo", "OnlineDpo", policy, config)


def ppo(policy: Any, config: RunConfig) -> Any:
    """Each token against what a value head expected at its place; options in [ppo]."""
    return _made("ppo", "Ppo", policy, config)


def _made(module: str, name: str, policy: Any, config: RunConfig) -> Any:
    """The algorithm, whose module is loaded only now: it loads torch."""
    return getattr(import_module(f"lydite.algorithms.{module}"), name)(policy, config)


@hookimpl
def lydite_algorithms() -> Mapping[str, AlgorithmFactory]:
    """The four algorithms."""
    return {"grpo": grpo, "rloo": rloo, "online_dpo": online_dpo, "ppo": ppo}


@hookimpl
def lydite_formats() -> Mapping[str, FormatFactory]:
    """The format `plain`."""
    return {"plain": Plain}

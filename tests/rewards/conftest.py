"""Stacks made of plain functions, and rollouts made of plain texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from lydite.builtin import Plain
from lydite.config import RunConfig
from lydite.contracts import Format
from lydite.plugins import Plugins, load_plugins
from lydite.rewards import RewardStack, build_stack
from lydite.types import FormatError, Generated, Parsed, Prompt, Rollout, Sample


class Tagged:
    """The answer stands after `A:`; without it the format is broken."""

    instructions = ""

    def parse(self, text: str) -> Parsed | FormatError:
        before, mark, after = text.partition("A:")
        return Parsed(after.strip(), before.strip()) if mark else FormatError("answer.missing")


def run_config(rewards: Mapping[str, Mapping[str, Any]], **tables: Any) -> RunConfig:
    return RunConfig.model_validate({"model": {"path": "none"}, "data": {"use": "none"}, "rewards": rewards, **tables})


def rollout(
    texts: Sequence[str],
    *,
    id: str = "s",
    prompt: Any = "what?",
    reference: Any = None,
    columns: Mapping[str, Any] | None = None,
    tokens: Sequence[int] | None = None,
) -> Rollout:
    sample = Sample(id, prompt, reference, columns or {})
    lengths = tokens or [len(text) + 1 for text in texts]
    return Rollout(
        Prompt(sample, str(prompt), (1,)),
        tuple(Generated(tuple(range(length)), text, text, "stop") for text, length in zip(texts, lengths, strict=True)),
    )


@pytest.fixture(scope="session")
def no_plugins() -> Plugins:
    return load_plugins(allow=())


MakeStack = Callable[..., RewardStack]


@pytest.fixture
def make_stack(no_plugins: Plugins) -> Iterator[MakeStack]:
    """Makes a stack of functions by name, each with its table of the configuration; closes it afterwards."""
    made: list[RewardStack] = []

    def make(
        functions: Mapping[str, Callable[..., Any]],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        format: Format | None = None,
        **tables: Any,
    ) -> RewardStack:
        rewards = {name: {"use": name, **(settings or {}).get(name, {})} for name in functions}
        config = run_config(rewards, **{"stack": {"max_error_share": 1.0}, **tables})
        stack = build_stack(config, no_plugins.with_functions(dict(functions)), format or Plain())
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.close()


@pytest.fixture
def kit() -> Any:
    """The helpers above, for tests that are not collected as a package."""

    return SimpleNamespace(Tagged=Tagged, rollout=rollout, run_config=run_config)

"""Builders of scored steps and of tiny policies, shared by the tests of the objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from lydite.policy.head import Head
from lydite.policy.layout import Layout
from lydite.types import (
    Completion,
    Component,
    Generated,
    Parsed,
    Prompt,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
    Verdict,
)


def _scored(
    rewards: Sequence[Sequence[float | None]],
    *,
    values: Sequence[Sequence[Mapping[str, float | None]]] | None = None,
    weights: Mapping[str, float] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    tokens: Sequence[Sequence[Sequence[int]]] | None = None,
    finish: Sequence[Sequence[str]] | None = None,
    logps: Sequence[Sequence[Sequence[float] | None]] | None = None,
    advantages: Sequence[Sequence[float]] | None = None,
) -> Scored:
    groups = []
    for p, group in enumerate(rewards):
        prompt_ids = tuple(prompts[p]) if prompts is not None else (1, 2)
        made = []
        for g, reward in enumerate(group):
            ids = tuple(tokens[p][g]) if tokens is not None else (3,)
            row = logps[p][g] if logps is not None else None
            reason: Any = finish[p][g] if finish is not None else "stop"
            judged = values[p][g] if values is not None else {}
            components = {
                name: Component(
                    Verdict.abstain("none") if value is None else Verdict(value),
                    value,
                    1.0 if weights is None else weights[name],
                )
                for name, value in judged.items()
            }
            made.append(
                ScoredCompletion(
                    Generated(ids, "text", "text", reason, None if row is None else tuple(row)),
                    Completion("text", Parsed("text"), tokens=len(ids), finish_reason=reason, index=g),
                    components,
                    reward,
                    0.0 if advantages is None else advantages[p][g],
                )
            )
        groups.append(ScoredGroup(Prompt(Sample(f"s{p}", "prompt"), "prompt", prompt_ids), tuple(made)))
    return Scored(tuple(groups), {"reward": 0.0}, {})


class ToyPolicy:
    """A bag of context: each position's hidden state is the mean embedding of the real tokens up to it.

    Left padding plays no part in it, and `adapter` is switched off in `reference()`.
    """

    def __init__(self, vocabulary: int, width: int, *, seed: int = 0, train_head: bool = False) -> None:
        source = torch.Generator().manual_seed(seed)
        self.embedding = torch.randn(vocabulary, width, generator=source)
        self.weight = torch.randn(vocabulary, width, generator=source).requires_grad_(train_head)
        self.adapter = torch.zeros(width, width, requires_grad=True)
        self.enabled = True
        self.forwards: list[tuple[bool, bool]] = []

    packs = False

    def packed_hidden_states(self, input_ids: Tensor, position_ids: Tensor, layout: Layout) -> Tensor:
        raise NotImplementedError

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        self.forwards.append((self.enabled, torch.is_grad_enabled()))
        real = attention_mask[..., None].float()
        mean = (self.embedding[input_ids] * real).cumsum(1) / real.cumsum(1).clamp(min=1)
        plain = mean + 0.1 * position_ids[..., None]
        return plain + plain @ self.adapter if self.enabled else plain

    def head(self) -> Head:
        return Head(self.weight)

    @contextmanager
    def reference(self) -> Iterator[None]:
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """These tensors are tiny: more threads only wait for one another, for seconds when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def scored_of() -> Callable[..., Scored]:
    """Builds a scored step from nested lists [P][G]."""
    return _scored


@pytest.fixture(scope="session")
def toy_policy() -> type[ToyPolicy]:
    """A policy without transformers, whose log-probabilities can be worked out by hand."""
    return ToyPolicy

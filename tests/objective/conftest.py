"""Builders of scored steps and of tiny policies, shared by the tests of the objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from support.scored_steps import scored_step
from torch import Tensor

from lydite.policy.head import Head
from lydite.policy.layout import Layout
from lydite.types import Scored


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
    return scored_step


@pytest.fixture(scope="session")
def toy_policy() -> type[ToyPolicy]:
    """A policy without transformers, whose log-probabilities can be worked out by hand."""
    return ToyPolicy

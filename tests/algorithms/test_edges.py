"""Steps with nothing in them, or next to nothing, under each algorithm: no error, no step of nan, nothing learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.algorithm_runs import RUNS

from lydite.learner import Learner
from lydite.policy import Policy
from lydite.types import Scored

LENGTHS = [[3, 9, 1, 4], [7, 2, 2, 8]]
REWARDS = [[0.0, 1.0, 0.5, 0.25], [1.0, None, 0.0, 1.0]]
ALL = [(group, place) for group in range(2) for place in range(4)]
Learn = Callable[..., tuple[dict[str, float], Policy, Learner]]


def weights(policy: Policy) -> list[torch.Tensor]:
    return [one.detach().clone() for one in policy.trainable().values()]


def learned_nothing(learn: Learn, name: str, step: Scored, **keys: Any) -> dict[str, float]:
    """What the updates of the step say, after which every weight is as it was."""
    tables, train = RUNS[name]
    _, before, _ = learn(step, {**train, **keys, "learning_rate": 1e-30}, shaken=0.05, **tables)
    figures, policy, learner = learn(step, {**train, **keys}, shaken=0.05, **tables)
    for ours, theirs in zip(weights(policy), weights(before), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-20)
    assert not any(bool(one.detach().any()) for one in learner.algorithm.parameters().values())
    assert (figures["loss"], figures["grad_norm"]) == (0.0, 0.0)
    assert all(map(math.isfinite, figures.values()))
    return figures


@pytest.mark.parametrize("name", [name for name in RUNS if name != "ppo, bootstrapped"])
def test_a_step_that_is_masked_as_a_whole(learn: Learn, scored: Callable[..., Scored], name: str) -> None:
    learned_nothing(learn, name, scored(LENGTHS, REWARDS, ALL), mask_truncated_completions=True)


@pytest.mark.parametrize("name", RUNS)
def test_a_step_that_nothing_could_score(learn: Learn, scored: Callable[..., Scored], name: str) -> None:
    learned_nothing(learn, name, scored(LENGTHS, [[None] * 4, [None] * 4], [(0, 1)]))


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("share", [True, False])
def test_a_step_of_empty_completions(learn: Learn, scored: Callable[..., Scored], name: str, share: bool) -> None:
    learned_nothing(learn, name, scored([[0] * 4, [0] * 4], REWARDS, [(0, 1)]), share_prompts=share)


@pytest.mark.parametrize("name", RUNS)
def test_some_empty_completions_and_one_update_without_tokens(
    learn: Learn, scored: Callable[..., Scored], name: str
) -> None:
    tables, train = RUNS[name]
    step = scored([[3, 0, 1, 0], [0, 0, 0, 0]], REWARDS, [(0, 1), (0, 2)])
    figures, policy, _ = learn(step, {**train, "num_iterations": 2}, shaken=0.05, **tables)
    assert all(map(math.isfinite, figures.values()))
    assert figures["grad_norm"] > 0.0
    assert all(bool(one.isfinite().all()) for one in weights(policy))

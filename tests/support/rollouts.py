"""Prompts for an engine, and the comparison of what two engines make of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lydite.policy import Policy
from lydite.types import Generated, Prompt, Rollout, Sample

CLOSE = 1e-4  # of float32 log-probabilities whose sums are taken in another order


def prompts_of(policy: Policy, count: int = 3) -> list[Prompt]:
    return [policy.encode(Sample(str(place), "Why so? " * place + "Tell me.")) for place in range(count)]


def flat(rollouts: Sequence[Rollout]) -> list[Generated]:
    return [one for rollout in rollouts for one in rollout.completions]


def assert_same(ours: Sequence[Rollout], theirs: Sequence[Rollout]) -> None:
    for mine, other in zip(flat(ours), flat(theirs), strict=True):
        assert (mine.token_ids, mine.text, mine.raw, mine.finish_reason) == (
            other.token_ids, other.text, other.raw, other.finish_reason,
        )  # fmt: skip
        assert mine.logps == pytest.approx(other.logps, abs=CLOSE)

"""Rewards that a reward calls by name: loaded on first use, called where their caller runs, never raising."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lydite.contracts import CallReward
from lydite.rewards.arguments import arguments_for, unasked
from lydite.rewards.calls import Call
from lydite.rewards.recipe import UsedReward, WorkerReward
from lydite.rewards.verdicts import from_exception, lift
from lydite.suggest import did_you_mean
from lydite.types import Completion, Group, Sample, Verdict


def caller(used: Mapping[str, UsedReward], make: Callable[[WorkerReward], Callable[[Call, None], Any]]) -> CallReward:
    """What a reward is given under the name `rewards`. `make` gives the function that runs a reward's calls."""
    made: dict[str, Callable[[Call, None], Any]] = {}

    async def judge(key: str, completion: Completion, sample: Sample) -> Verdict:
        if key not in used:
            raise KeyError(f"no reward is used under the key {key!r}{did_you_mean(key, used)}")
        one = used[key]
        terms = one.reward.terms
        known = unasked(one.wants, f"reward {terms.name!r}", sample, completion, one.worst)
        if known is not None:
            return known
        try:
            if key not in made:
                made[key] = make(one.reward)
            result = made[key](Call(arguments_for(one.wants, Group(sample, (completion,)), completion)), None)
            if inspect.isawaitable(result):
                result = await result
            return lift(result, terms)
        except Exception as error:  # noqa: BLE001 - a verifier may raise anything
            return from_exception(error, terms)

    return judge

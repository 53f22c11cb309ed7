"""Every reward of this tree passes the check that its authors ask of others, and none is left out.

Rewards that wrap a function or ask a judge have their cases here, with a function and a judge made for them.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lydite.plugins import load_plugins
from lydite.rewards.worker import WorkerPool
from lydite.testing import check, worker_pool

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = {
    tomllib.loads(file.read_text())["project"]["name"]
    for pattern in ("plugins/*/pyproject.toml", "rewards_contrib/*/pyproject.toml")
    for file in ROOT.glob(pattern)
} | {"lydite"}
LONGEST = 90.0
"""Seconds for one reward on two busy cores; most take one or two."""


def rewards() -> list[str]:
    offers = load_plugins(strict=False).offers
    return sorted(
        name
        for kind in ("rewards", "group_rewards")
        for name, offer in offers[kind].items()  # type: ignore[index]
        if offer.owner.distribution in OURS
    )


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    before = list(sys.path)
    # Worker processes import support/wrapped_rewards.py, and a stand-in for verifiers 0.4, which wants an environment
    # of its own; it comes first, before an older verifiers that other tests may have put there.
    sys.path[:] = [str(HERE / "stand_ins"), *before, str(ROOT / "tests")]
    try:
        with worker_pool() as one:
            yield one
    finally:
        sys.path[:] = before


def test_every_plugin_of_ours_is_installed_and_loads() -> None:
    plugins = load_plugins(strict=False)
    assert not [str(failure) for failure in plugins.failures if failure.owner.distribution in OURS]
    assert {owner.distribution for owner in plugins.owners} >= OURS


def test_only_rewards_that_there_are_have_cases_here() -> None:
    named = {file.stem for file in (HERE / "cases").glob("*.jsonl")}
    assert named <= {name.replace("/", "-") for name in rewards()}


@pytest.mark.parametrize("name", rewards())
def test_it_passes(name: str, pool: WorkerPool) -> None:
    own = HERE / "cases" / f"{name.replace('/', '-')}.jsonl"
    judge = [HERE / "kind_words.py"] if name.startswith("judge/") else []
    report = check(name, cases=own if own.is_file() else None, plugins=judge, pool=pool)
    report.raise_for_failures()
    assert report.seconds < LONGEST

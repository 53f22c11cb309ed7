"""Runs with dynamic sampling, a pool and an order: everything is counted, and a resumed run is the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite import api
from lydite.checkpoint import newest_checkpoint, save_checkpoint
from lydite.errors import CheckpointError, EngineError
from lydite.rollout import Sampling, make_engine
from lydite.types import Prompt, Rollout

KINDS = ["mixed", "easy", "hard", "mixed", "easy", "easy", "hard", "easy", "mixed", "hard", "easy"]
LOGS = ("metrics.jsonl", "completions.jsonl", "pool.jsonl", "adapter/adapter_model.safetensors")


@pytest.fixture
def configured(
    here: Path, tiny_model: Path, settings: Callable[..., dict[str, Any]], write_data: Callable[..., None]
) -> Callable[..., dict[str, Any]]:
    """The configuration of a run of six steps on samples of all kinds."""
    (here / "model").symlink_to(tiny_model)
    write_data(KINDS)
    return settings


class FailsAt:
    """The run's own engine, which raises at some of the calls of `generate`."""

    def __init__(self, inner: Any, calls: set[int], error: Exception) -> None:
        self._inner, self._calls, self._error, self._asked = inner, calls, error, 0
        self.name, self.shares_weights = inner.name, inner.shares_weights

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        self._asked += 1
        if self._asked in self._calls:
            raise self._error
        return list(self._inner.generate(prompts, sampling, seed))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fails_at(monkeypatch: pytest.MonkeyPatch, calls: set[int], error: Exception) -> None:
    monkeypatch.setattr(api, "make_engine", lambda config, policy: FailsAt(make_engine(config, policy), calls, error))


def log(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in LOGS}


DYNAMIC = {"max_refills": 3, "retire_at": 1.0, "retire_after": 1, "retest_every": 3}


@pytest.mark.parametrize(
    "sampling",
    [
        {**DYNAMIC, "order": "shuffle"},
        {**DYNAMIC, "order": "curriculum"},
        {**DYNAMIC, "order": "frontier", "flat_groups": "drop"},
    ],
    ids=["shuffle", "curriculum", "frontier"],
)
def test_a_run_that_is_stopped_in_the_middle_of_a_refill_goes_on_as_if_it_had_not(
    configured: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, sampling: dict[str, Any]
) -> None:
    settings = configured(2, **sampling)
    settings["train"]["save_steps"] = 3
    whole = lydite.train({**settings, "name": "whole"}, display="none").folder
    refills = [int(one["sampling/refills"]) for one in log(whole, "metrics")]
    step = next(step for step in (5, 6, 3, 2) if refills[step - 1])  # with a refill, and not right behind a checkpoint
    call = sum(1 + one for one in refills[: step - 1]) + 2

    fails_at(monkeypatch, {call}, RuntimeError("killed"))
    with pytest.raises(RuntimeError, match="killed"):
        lydite.train({**settings, "name": "killed"}, display="none")
    names = ["killed"]
    if sampling["order"] == "shuffle":  # an engine that fails twice has the state before the step saved
        fails_at(monkeypatch, {call, call + 1}, EngineError("the card fell out"))
        with pytest.raises(EngineError, match=f"step {step}: the card fell out"):
            lydite.train({**settings, "name": "failed"}, display="none")
        names.append("failed")
    fails_at(monkeypatch, set(), RuntimeError())
    for name in names:
        resumed = lydite.train(resume=f"runs/{name}", display="none").folder
        assert contents(resumed) == contents(whole), name


def test_all_that_was_sampled_is_counted_and_kept(configured: Callable[..., dict[str, Any]]) -> None:
    folder = lydite.train(configured(2, max_refills=3), display="none").folder
    metrics, completions, pool = log(folder, "metrics"), log(folder, "completions"), log(folder, "pool")
    tokens = 0
    for one in metrics:
        rows = [row for row in completions if row["step"] == one["step"]]
        assert len(rows) == 4 * one["sampling/asked_groups"]
        assert len([row for row in rows if row.get("trained", True)]) == 4 * one["sampling/trained_groups"] == 8
        assert one["reward"] == pytest.approx(sum(row["reward"] for row in rows) / len(rows))
        tokens += sum(row["tokens"] for row in rows)
        assert one["num_tokens"] == tokens
        assert [row["sample"] for row in rows[::4]] == [row["sample"] for row in pool if row["step"] == one["step"]]
    assert any(row.get("trained") is False for row in completions), "nothing was left out: the data is too easy"
    assert metrics[-1]["pool/prompts"] == len({row["sample"] for row in pool})
    state = json.loads((folder / "checkpoints" / "step-000006" / "state.json").read_text())["prompts"]["pool"]
    latest = {row["sample"]: [row["pass_rate"], row["groups"], row["step"]] for row in pool}
    assert state == latest


def test_fewer_groups_make_a_step_of_their_own(configured: Callable[..., dict[str, Any]]) -> None:
    folder = lydite.train(configured(4, flat_groups="drop"), display="none").folder
    groups = [one["sampling/trained_groups"] for one in log(folder, "metrics")]
    assert min(groups) < 4
    assert len(groups) == 6


def test_a_checkpoint_that_knows_nothing_of_the_order_is_refused(configured: Callable[..., dict[str, Any]]) -> None:
    settings = configured(2)
    settings["train"]["max_steps"] = 1
    folder = lydite.train(settings, display="none").folder
    found = newest_checkpoint(folder / "checkpoints").checkpoint
    assert found is not None
    state = {name: value for name, value in found.state.items() if name != "prompts"}
    save_checkpoint(folder / "checkpoints", dataclasses.replace(found, state=state), keep=1)
    with pytest.raises(CheckpointError, match=r"remembers .* of the prompts"):
        lydite.train(resume=folder, display="none")

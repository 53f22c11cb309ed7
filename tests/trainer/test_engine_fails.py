"""An engine that fails is asked once more; when it fails again, what is finished is saved and the way on is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite import api
from lydite.config import RunConfig
from lydite.errors import EngineError
from lydite.policy import Policy
from lydite.rollout import Sampling, make_engine
from lydite.rollout.engine import CanaryAnswer
from lydite.types import Prompt, Rollout

Numbers = Callable[[Path], dict[str, bytes]]


class Shaky:
    """Fails at the calls whose numbers it is given: `generate` for training, for an evaluation, or `canary`."""

    name = "shaky"
    shares_weights = True

    def __init__(self, config: RunConfig, policy: Policy, fails: dict[str, set[int]], error: BaseException) -> None:
        self._inner = make_engine(config, policy)
        self._fails, self._error = fails, error
        self._asked = {"train": 0, "eval": 0, "canary": 0}

    def _count(self, what: str) -> None:
        self._asked[what] += 1
        if self._asked[what] in self._fails.get(what, ()):
            raise self._error

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        self._count("eval" if sampling.temperature == 0 else "train")
        return self._inner.generate(prompts, sampling, seed)

    def canary(self, prompt: Prompt, tokens: int) -> CanaryAnswer | None:
        self._count("canary")
        return self._inner.canary(prompt, tokens)

    def take_adapter(self, policy: Policy) -> None:
        self._inner.take_adapter(policy)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker, three steps long, with a checkpoint at the end only."""
    del settings["rewards"]["brief"]
    settings["train"].update(max_steps=3, save_steps=100)
    return settings


@pytest.fixture(scope="module")
def _undisturbed() -> dict[str, bytes]:
    return {}


@pytest.fixture
def whole(quick: dict[str, Any], numbers: Numbers, _undisturbed: dict[str, bytes]) -> dict[str, bytes]:
    """The numbers of the run that nothing disturbed, which every test's folder gives alike."""
    if not _undisturbed:
        _undisturbed.update(numbers(lydite.train({**quick, "name": "whole"}, display="none").folder))
    return _undisturbed


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report takes as long as these runs, and is no part of what is tested."""
    monkeypatch.setattr(api, "write_report", lambda folder: folder / "none")


@pytest.fixture
def engine_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the next runs fail at these calls, or with `engine_fails()` no more."""

    def at(error: BaseException | None = None, **fails: set[int]) -> None:
        raised = error or EngineError("the card fell out")
        monkeypatch.setattr(api, "make_engine", lambda config, policy: Shaky(config, policy, fails, raised))

    return at


def test_one_failure_is_told_and_changes_no_number(
    quick: dict[str, Any],
    whole: dict[str, bytes],
    numbers: Numbers,
    engine_fails: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine_fails(train={2, 4}, eval={1})
    with caplog.at_level(logging.WARNING, logger="lydite"):
        shaken = lydite.train({**quick, "name": "shaken"}, display="none")
    assert numbers(shaken.folder) == whole
    assert shaken.summary["stopped"] == "finished"
    told = [one.message for one in caplog.records if "failed and is asked once more" in one.message]
    assert told == ["the engine shaky failed and is asked once more: the card fell out"] * 3


@pytest.mark.parametrize("saved_anyway", [False, True], ids=["between checkpoints", "right after one"])
def test_two_failures_save_what_is_finished_and_tell_how_to_go_on(
    quick: dict[str, Any],
    whole: dict[str, bytes],
    here: Path,
    numbers: Numbers,
    engine_fails: Callable[..., None],
    saved_anyway: bool,
) -> None:
    if saved_anyway:
        quick["train"]["save_steps"] = 2
    engine_fails(train={3, 4})
    with pytest.raises(EngineError) as raised:
        lydite.train({**quick, "name": "cut"}, display="none")
    folder = here / "runs" / "cut"
    assert str(raised.value) == (
        "step 3: the card fell out\neverything up to step 2 is saved in runs/cut; to go on: "
        "lydite train --resume runs/cut"
    )
    kept = [path.name for path in (folder / "checkpoints").glob("step-*")]
    assert kept == ["step-000002"]
    engine_fails()
    result = lydite.train(resume="runs/cut", display="none")
    assert result.summary["stopped"] == "finished"
    assert numbers(folder) == whole


def test_failures_before_a_step_is_finished_save_nothing_and_the_run_can_begin_again(
    quick: dict[str, Any], whole: dict[str, bytes], here: Path, numbers: Numbers, engine_fails: Callable[..., None]
) -> None:
    engine_fails(train={1, 2})
    with pytest.raises(EngineError, match=r"^step 1: .*\nno step is saved yet in runs/cut; to go on: lydite train"):
        lydite.train({**quick, "name": "cut"}, display="none")
    assert not list((here / "runs" / "cut" / "checkpoints").glob("step-*"))
    engine_fails()
    lydite.train(resume="runs/cut", display="none")
    assert numbers(here / "runs" / "cut") == whole


@pytest.mark.parametrize(
    ("fails", "step", "saved"),
    [({"eval": {2, 3}}, 2, "no step is saved yet"), ({"canary": {2}}, 1, "no step is saved yet")],
    ids=["evaluation", "canary"],
)
def test_a_failure_in_the_middle_of_a_step_tells_what_is_saved(
    quick: dict[str, Any],
    whole: dict[str, bytes],
    here: Path,
    numbers: Numbers,
    engine_fails: Callable[..., None],
    fails: dict[str, set[int]],
    step: int,
    saved: str,
) -> None:
    """Its weights have moved on and its logs have not, so nothing can be saved any more."""
    quick["train"]["save_steps"] = 2
    engine_fails(**fails)
    with pytest.raises(EngineError, match=rf"^step {step}: the card fell out\n{saved} in runs/cut; to go on"):
        lydite.train({**quick, "name": "cut"}, display="none")
    engine_fails()
    lydite.train(resume="runs/cut", display="none")
    assert numbers(here / "runs" / "cut") == whole


def test_any_other_error_goes_its_way_at_once(quick: dict[str, Any], engine_fails: Callable[..., None]) -> None:
    engine_fails(error=ZeroDivisionError("odd"), train={2})
    with pytest.raises(ZeroDivisionError, match="odd"):
        lydite.train(quick, display="none")


@pytest.mark.parametrize(("part", "saved"), [("train", 2), ("eval", 0)])
def test_an_interruption_saves_what_is_finished_where_it_comes_between_updates(
    quick: dict[str, Any], whole: dict[str, bytes], numbers: Numbers, engine_fails: Callable[..., None], here: Path,
    part: str, saved: int,
) -> None:  # fmt: skip
    engine_fails(KeyboardInterrupt(), **{part: {3 if part == "train" else 2}})
    with pytest.raises(KeyboardInterrupt):
        lydite.train({**quick, "name": "interrupted"}, display="none")
    folder = here / "runs" / "interrupted"
    kept = [int(one.name.removeprefix("step-")) for one in (folder / "checkpoints").glob("step-*")]
    assert kept == [saved] * bool(saved), "an evaluation comes in the middle of a step"
    engine_fails()
    assert numbers(lydite.train(resume=folder, display="none").folder) == whole

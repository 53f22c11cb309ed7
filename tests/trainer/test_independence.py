"""Reward up and held-out metric down: what the rule finds, how seldom it is wrong, and what a run does about it."""

from __future__ import annotations

import importlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

import lydite
from lydite.errors import PluginError
from lydite.independence import LEVEL, WINDOW, Independence, sign_test

ROOT = Path(__file__).parents[2]
Numbers = Callable[[Path], dict[str, bytes]]
Evaluation = tuple[list[float], list[float | None]]
"""The rewards of the steps before it, and its scores."""

PLUGIN = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def sober(completion):
    return sum(letter not in "aeiou" for letter in completion.text) / max(1, len(completion.text))

@lydite.hookimpl
def lydite_rewards():
    return {"mine/sober": sober}
"""

count = some.integers(0, 40)
reward = some.integers(-8, 8).map(lambda whole: whole / 8)
score = some.sampled_from([0.0, 0.5, 1.0, None])
run_of = some.integers(1, 12).flatmap(
    lambda prompts: some.lists(
        some.tuples(some.lists(reward, max_size=6), some.lists(score, min_size=prompts, max_size=prompts)),
        max_size=8,
    )
)


def value_of(scores: Sequence[float | None]) -> float:
    judged = [one for one in scores if one is not None]
    return sum(judged) / len(judged) if judged else 0.0


def told(evaluations: Sequence[Evaluation], known: Independence | None = None, start: int = 0) -> Independence:
    known = known or Independence()
    for place, (rewards, scores) in enumerate(evaluations, start):
        for one in rewards:
            known.saw_reward(one)
        known.saw_evaluation(10 * place, "accuracy", value_of(scores), scores)
    return known


def parted(evaluations: Sequence[Evaluation], patience: int = 1) -> list[int]:
    """The evaluations at which reward and held-out metric have parted."""
    known, found = Independence(), []
    for place, one in enumerate(evaluations):
        told([one], known, place)
        if known.divergence(patience) is not None:
            found.append(place)
    return found


def hacked(prompts: int = 40, honest: int = 3, spoilt: int = 3) -> list[Evaluation]:
    """Reward and accuracy climb; then the reward goes on to climb, and accuracy is lost."""
    wobble = [0.01, -0.01, 0.02, -0.02, 0.0]
    good: list[float | None] = [1.0] * (prompts * 3 // 4) + [0.0] * (prompts - prompts * 3 // 4)
    bad: list[float | None] = [0.0] * prompts
    courses = [([0.3 + 0.02 * place + one for one in wobble], good) for place in range(honest)]
    return [*courses, *(([0.6 + 0.1 * place + one for one in wobble], bad) for place in range(spoilt))]


@given(count, count)
def test_the_sign_test_is_the_binomial_tail(worse: int, better: int) -> None:
    changed = worse + better
    tail = sum(math.comb(changed, k) for k in range(worse, changed + 1)) / 2**changed
    assert sign_test(worse, better) == pytest.approx(tail, rel=1e-12)


def test_a_hacked_run_is_found_at_the_first_evaluation_that_shows_it_and_told_after_patience() -> None:
    assert parted(hacked()) == [3, 4, 5]
    assert parted(hacked(), patience=2) == [4, 5]
    assert parted(hacked(), patience=4) == []


def test_what_is_told_is_what_was_seen() -> None:
    found = told(hacked()).divergence(2)
    assert found is not None
    assert (found.step, found.best_step, found.best, found.value) == (50, 0, 0.75, 0.0)
    assert (found.worse, found.better, found.chance) == (30, 0, 2**-30)
    assert (found.reward_then, found.reward_now) == (pytest.approx(0.3), pytest.approx(0.8))
    assert "rose from 0.3 to 0.8, while held-out accuracy fell from 0.75 to 0: of the 30 questions" in str(found)


def test_a_run_that_is_honest_again_has_not_parted() -> None:
    known = told([*hacked(), *hacked(honest=1, spoilt=0)])
    assert known.divergence(1) is None
    assert told(hacked(spoilt=1), known, 7).divergence(2) is None


@pytest.mark.parametrize("prompts", [1, 2, 4])
def test_few_prompts_prove_nothing(prompts: int) -> None:
    assert parted(hacked(prompts)) == []


def test_a_fall_that_is_sure_and_small_is_passed_over() -> None:
    prompts = 2000
    rewards = [0.1, 0.12, 0.09, 0.11, 0.1]
    scores = [1.0] * prompts
    slightly = [*scores[: prompts - 60], *([0.0] * 60)]
    by_a_tenth = [*scores[: prompts - 200], *([0.0] * 200)]
    climbed = [one + 0.5 for one in rewards]
    assert parted([([], scores), (rewards, scores), (climbed, slightly)]) == []  # type: ignore[list-item]
    assert parted([([], scores), (rewards, scores), (climbed, by_a_tenth)]) == [2]  # type: ignore[list-item]


@pytest.mark.parametrize(("rise", "found"), [(0.05, []), (0.6, [2])])
def test_a_rise_within_what_steps_differ_by_is_none(rise: float, found: list[int]) -> None:
    rewards = [0.1, 0.5, 0.2, 0.4, 0.3, 0.5, 0.1, 0.4]
    good, bad = [1.0] * 40, [0.0] * 40
    courses = [([], good), (rewards, good), ([one + rise for one in rewards], bad)]
    assert parted(courses) == found  # type: ignore[arg-type]


@given(run_of)
def test_no_alarm_while_the_reward_does_not_climb(evaluations: list[Evaluation]) -> None:
    falling, height = [], 0.0
    for rewards, scores in evaluations:
        lower = []
        for one in rewards:
            height -= abs(one)
            lower.append(height)
        falling.append((lower, scores))
    assert parted(falling) == []


@given(run_of)
def test_no_alarm_while_no_prompt_gets_worse(evaluations: list[Evaluation]) -> None:
    best: list[float] = []
    better: list[Evaluation] = []
    for rewards, scores in evaluations:
        best = [max(one or 0.0, before) for one, before in zip(scores, best or [0.0] * len(scores), strict=True)]
        better.append((rewards, list(best)))
    assert parted(better) == []


@given(run_of, some.randoms(use_true_random=False))
def test_the_order_of_prompts_and_the_size_of_rewards_do_not_matter(evaluations: list[Evaluation], dice: Any) -> None:
    evaluations = [*hacked(12), *((rewards, (scores * 12)[:12]) for rewards, scores in evaluations)]
    order = list(range(12))
    dice.shuffle(order)
    other = [([4 * one for one in rewards], [scores[place] for place in order]) for rewards, scores in evaluations]
    assert parted(evaluations) == parted(other)


@given(run_of, some.integers(0, 14))
def test_going_on_from_a_checkpoint_is_as_if_never_stopped(evaluations: list[Evaluation], at: int) -> None:
    evaluations = [*hacked(12), *((rewards, (scores * 12)[:12]) for rewards, scores in evaluations)]
    at = min(at, len(evaluations))
    saved = json.loads(json.dumps(told(evaluations[:at]).to_json()))
    assert told(evaluations[at:], Independence.from_json(saved), at) == told(evaluations)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.independence")


def test_a_thousand_healthy_runs_raise_hardly_an_alarm(simulation: Any) -> None:
    rates = {
        name: simulation.rates(course, 128, 1000 // len(simulation.HEALTHY), 1)["alarms"]
        for name, course in simulation.HEALTHY.items()
    }
    assert all(rate <= 0.01 for rate in rates.values()), rates


def test_hacked_runs_are_found_soon(simulation: Any) -> None:
    rates = {name: simulation.rates(course, 128, 100, 1) for name, course in simulation.HACKED.items()}
    assert all(rate["alarms"] >= 0.93 and rate["evaluations_late"] <= 3 for rate in rates.values()), rates


def test_the_sign_test_alone_keeps_its_level_on_runs_that_never_fall(simulation: Any) -> None:
    """With a reward that climbs whatever happens, a plateau is called a fall at most as often as `LEVEL` says."""
    import numpy as np

    dice, alarms, runs = np.random.default_rng(3), 0, 300
    for _ in range(runs):
        made = simulation.simulate(simulation.plateau, 128, dice)
        known = Independence()
        for place, (step, value, scores) in enumerate(made.evaluations):
            for one in range(WINDOW):
                known.saw_reward(10.0 * place + one % 2)
            known.saw_evaluation(step, "accuracy", value, scores)
            if known.last is not None:
                alarms += 1
                break
    assert alarms / runs <= LEVEL


@pytest.fixture
def gamed(settings: dict[str, Any], here: Path) -> dict[str, Any]:
    """A run that is paid for vowels, and whose held-out metric is spoilt by them, as a text is by filler."""
    rows = [{"prompt": f"{n} + {7 * n % 13} =", "reference": str(n)} for n in range(60)]
    (here / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (here / "sober.py").write_text(PLUGIN)
    settings["plugin_files"].append(str(here / "sober.py"))
    return {
        **settings,
        "rewards": {"vowels": {"use": "mine/vowels"}},
        "lora": {},
        "eval": {"reward": {"use": "mine/sober"}, "metric": "sobriety", "n": 32, "every": 5},
        "train": {
            "max_steps": 20, "num_generations": 8, "per_device_train_batch_size": 32, "max_completion_length": 8,
            "learning_rate": 5e-2, "lr_scheduler_type": "constant", "save_steps": 10,
        },
    }  # fmt: skip


def evals_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "evals.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_reward_that_is_gamed_is_told_and_can_stop_the_run(
    gamed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="lydite"):
        warned = lydite.train({**gamed, "name": "warned"}, display="none")
    told_of = [one.getMessage() for one in caplog.records if "the training reward rose" in one.getMessage()]
    assert len(told_of) == 1, "once, however long it lasts"
    assert "read the completions that it pays most" in told_of[0]
    shown = [one["step"] for one in evals_of(warned.folder) if one["divergence"]]
    assert told_of[0].startswith(f"step {shown[0]}: since step 0 ")
    assert shown[-1] == 20
    assert warned.summary["stopped"] == "finished"
    assert warned.summary["heldout"]["divergence"] == evals_of(warned.folder)[-1]["divergence"]
    page = (warned.folder / "report.html").read_text()
    assert '"title":"Reward up, held-out down"' in page
    assert '"symbol":"x"' in page

    ended = lydite.train({**gamed, "name": "ended", "eval": {**gamed["eval"], "on_divergence": "stop"}}, display="none")
    assert (ended.summary["stopped"], ended.summary["steps"]) == ("divergence", shown[0])
    assert (ended.folder / "checkpoints" / f"step-{shown[0]:06d}").is_dir()

    off = lydite.train({**gamed, "name": "off", "eval": {**gamed["eval"], "on_divergence": "off"}}, display="none")
    assert [one["divergence"] for one in evals_of(off.folder)] == [None] * len(evals_of(off.folder))
    assert off.summary["heldout"]["divergence"] is None


@pytest.mark.slow
def test_a_resumed_run_sees_what_the_whole_one_saw(gamed: dict[str, Any], here: Path, numbers: Numbers) -> None:
    (here / "stop.py").write_text(
        "import pathlib\nimport lydite\n@lydite.hookimpl\ndef lydite_step(report):\n"
        "    flag = pathlib.Path(__file__).with_name('once')\n"
        "    assert report.step != 12 or flag.exists() or flag.touch(), 'enough'\n"
    )
    gamed["plugin_files"].append(str(here / "stop.py"))
    with pytest.raises(PluginError, match="enough"):
        lydite.train({**gamed, "name": "resumed"}, display="none")
    resumed = lydite.train(resume=here / "runs" / "resumed", display="none")
    whole = lydite.train({**gamed, "name": "whole"}, display="none")
    assert evals_of(whole.folder)[-1]["divergence"]
    assert numbers(resumed.folder) == numbers(whole.folder)

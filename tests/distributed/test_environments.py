"""Episodes in two processes: those of one, though each process plays other episodes for other numbers of turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.same_runs import assert_same_adapters, assert_same_rollouts, lines

import lydite

PLUGIN = """
import lydite

class Chat:
    '''Lasts for a turn more with each sample, and breaks with the sample `5 + 1 =`.'''

    def reset(self, sample):
        self.number = int(sample.prompt.split()[0])
        self.turn = 0
        return ()

    def step(self, reply):
        self.turn += 1
        if self.number == 5:
            raise RuntimeError("out of order")
        paid = sum(letter in "aeiou" for letter in reply) / 10
        return lydite.Observation("go on", reward=paid, done=self.turn > self.number % 5)

@lydite.hookimpl
def lydite_environments():
    return {"mine/chat": Chat}
"""
PROGRAM = """
import json, os
import lydite
from lydite.errors import LyditeError

def main():
    with open("settings-episodes.json") as file:
        settings = json.load(file)
    told = {}
    for strategy in ("ddp", "fsdp2"):
        lydite.train({**settings, "name": strategy, "distributed": {"strategy": strategy}}, display="none")
    every = {**settings["environment"], "use": "mine/never"}
    try:
        lydite.train({**settings, "name": "never", "eval": None, "environment": every}, display="none")
    except LyditeError as error:
        told["never"] = [type(error).__name__, str(error)]
    with open(f"told-{os.environ['RANK']}.json", "w") as file:
        json.dump(told, file)

if __name__ == "__main__":
    main()
"""
NEVER = """
import lydite

class Never:
    def reset(self, sample):
        return ()

    def step(self, reply):
        raise OSError("no route to host")

@lydite.hookimpl
def lydite_environments():
    return {"mine/never": Never}
"""


@pytest.fixture(scope="module")
def episodes(place: Path, settings: dict[str, Any]) -> dict[str, Any]:
    (place / "chat.py").write_text(PLUGIN)
    (place / "never.py").write_text(NEVER)
    return {
        **settings,
        "plugin_files": [str(place / "chat.py"), str(place / "never.py")],
        "environment": {"use": "mine/chat", "max_turns": 4, "max_reply_tokens": 6},
        "rewards": {"earned": {"use": "environment"}},
        "stack": {"max_error_share": 0.9},
        "eval": {"reward": {"use": "environment"}, "n": 3, "every": 2, "metric": "return"},
        "train": {
            "max_steps": 2, "num_generations": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 5,
            "max_completion_length": 120, "learning_rate": 1e-2, "save_steps": 2,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def told(place: Path, episodes: dict[str, Any], two_run: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    (place / "settings-episodes.json").write_text(json.dumps(episodes))
    return two_run(PROGRAM)


@pytest.fixture(scope="module")
def alone(episodes: dict[str, Any]) -> Path:
    return lydite.train({**episodes, "name": "episodes-of-one"}, display="none").folder


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_play_the_episodes_of_one(
    place: Path, alone: Path, told: list[dict[str, Any]], strategy: str
) -> None:
    other = place / "runs" / strategy
    assert_same_rollouts(alone, other, ("step", "sample", "completion", "turns", "episode", "advantage"))
    lengths = {len(row["turns"]) for row in lines(alone, "completions.jsonl")}
    assert len(lengths) > 3, "the episodes are all alike"
    assert {row["episode"]["ended"] for row in lines(alone, "completions.jsonl")} == {"done", "max_turns", "error"}
    assert lines(alone, "evals.jsonl") == lines(other, "evals.jsonl")

    for mine, theirs in zip(lines(alone, "metrics.jsonl"), lines(other, "metrics.jsonl"), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
    assert_same_adapters(alone, other, learned=0.02)


@pytest.mark.slow
def test_an_environment_that_never_works_is_told_in_every_process(told: list[dict[str, Any]]) -> None:
    for one in told:
        assert one["never"][0] == "PluginError"
        # All 10 episodes of the step, not those of one process.
        assert "the environment failed in all 10 episodes" in one["never"][1]
        assert "OSError: no route to host (never.py, line 9)" in one["never"][1]

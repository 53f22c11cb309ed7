"""Whole runs with an environment: what is written, what is resumed, and what is found wrong before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import make_tiny_model

import lydite
from lydite.config import RunConfig
from lydite.configfile import read_config
from lydite.errors import ConfigError, DataError
from lydite.plugins import load_plugins
from lydite.rescore import open_saved, rescore
from lydite.rewards.episode import environment
from lydite.rewards.trl_style import Row, batch_call
from lydite.types import Completion, Episode, Parsed, Sample, Status

PLUGIN = """
import lydite

class Vowels:
    '''Pays for vowels, and says how many there were.'''

    def __init__(self, *, bonus: float = 0.0) -> None:
        self._bonus = bonus

    def reset(self, sample):
        return [{"role": "user", "content": f"Round {sample.reference}"}]

    def step(self, reply):
        found = sum(letter in "aeiou" for letter in reply)
        return lydite.Observation(f"{found} so far", reward=found / 10 + self._bonus)

@lydite.reward(isolation="inline")
def turns(completion):
    return len(completion.turns) / 10

@lydite.hookimpl
def lydite_environments():
    return {"mine/vowels": Vowels}

@lydite.hookimpl
def lydite_rewards():
    return {"mine/turns": turns}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    make_tiny_model(tmp_path / "model", settings={"num_hidden_layers": 2, "hidden_size": 32})
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(8)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(PLUGIN)
    return {
        "plugins": ["lydite-datasets", "lydite-families"],
        "plugin_files": [str(tmp_path / "mine.py")],
        "model": {"path": "model", "dtype": "float32", "device": "cpu"},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl"}, "check_reference": "off"},
        "environment": {"use": "mine/vowels", "max_turns": 3, "max_reply_tokens": 6},
        "rewards": {"earned": {"use": "environment"}, "turns": {"use": "mine/turns", "weight": 0.1}},
        "eval": {"reward": {"use": "environment"}, "n": 2, "every": 2, "metric": "return"},
        "train": {
            "max_steps": 4, "num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 200,
            "learning_rate": 1e-2, "save_steps": 2,
        },
    }  # fmt: skip


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run_trains_on_episodes_and_keeps_their_transcripts(settings: dict[str, Any]) -> None:
    folder = lydite.train(settings, display="none").folder
    records, metrics, evals = (lines(folder / f"{name}.jsonl") for name in ("completions", "metrics", "evals"))
    assert len(records) == 4 * 8
    for one in records:
        roles = [turn["role"] for turn in one["turns"]]
        assert roles == ["assistant", "user"] * 3
        assert one["episode"]["ended"] == "max_turns"
        assert one["episode"]["reward"] == pytest.approx(sum(one["episode"]["rewards"]))
        assert one["reward"] == pytest.approx(one["episode"]["reward"] + 0.1 * 0.6)
        assert one["completion"] == one["turns"][-2]["content"]
        assert f"Round {one['reference']}" in one["prompt"]
        assert one["tokens"] <= 18  # what the model said, not what it was told
    assert {one["episodes/turns/mean"] for one in metrics} == {3.0}
    assert all(one["completions/max_length"] <= 18 for one in metrics)
    assert metrics[-1]["num_tokens"] == sum(one["tokens"] for one in records)
    # The sampler's log-probabilities are the trainer's, token by token, holes and all.
    assert max(one["sampling/sampling_logp_difference/max"] for one in metrics) < 1e-3
    assert all(len(answer["turns"]) == 6 for one in evals for answer in one["answers"])
    assert [one["step"] for one in evals] == [0, 2, 4]
    assert any(one["grad_norm"] > 0 for one in metrics)

    # Judged again without a model, completions still have their episodes.
    rejudged: list[dict[str, Any]] = []
    config = read_config(folder / "config.toml")
    plugins = load_plugins(allow=config.plugins, files=config.plugin_files)
    saved = open_saved(folder / "completions.jsonl")
    rescore(saved, config, plugins, write=lambda _, record: rejudged.append(dict(record)))
    assert [one["reward"] for one in rejudged] == pytest.approx([one["reward"] for one in records])

    # A run that was stopped at step 3 goes on from its checkpoint of step 2, and plays the same episodes.
    newest = max((folder / "checkpoints").glob("*4*"))
    shutil.rmtree(newest)
    lydite.train(resume=folder, display="none")
    assert lines(folder / "completions.jsonl") == records
    assert lines(folder / "metrics.jsonl") == metrics


def complaint(settings: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        lydite.train(read_config(RunConfig.model_validate(settings)), display="none")
    return str(caught.value)


def test_wrong_names_and_options_are_found_before_the_model_is_loaded(settings: dict[str, Any]) -> None:
    settings["model"]["path"] = "nowhere"
    assert "no plugin offers the environment 'mine/vowel'; did you mean 'mine/vowels'?" in complaint(
        settings | {"environment": {"use": "mine/vowel"}}
    )
    assert "environment 'mine/vowels' has no option 'bonnus'; did you mean 'bonus'?" in complaint(
        settings | {"environment": {"use": "mine/vowels", "options": {"bonnus": 1.0}}}
    )
    assert "option 'bonus' of environment 'mine/vowels' must be float" in complaint(
        settings | {"environment": {"use": "mine/vowels", "options": {"bonus": "x"}}}
    )


def test_an_environment_that_cannot_begin_is_found_before_the_model_is_loaded(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["model"]["path"] = "nowhere"
    broken = PLUGIN.replace("Round {sample.reference}", "Round {sample.columns['round']}")
    (tmp_path / "mine.py").write_text(broken)
    with pytest.raises(
        DataError, match=r"environment 'mine/vowels' of .*mine\.py.* cannot begin with .*KeyError: 'round'"
    ):
        lydite.train(settings, display="none")


def test_what_an_environment_paid_needs_an_environment(settings: dict[str, Any]) -> None:
    del settings["environment"]
    with pytest.raises(ConfigError, match=r"(?s)rewards\.earned\.use = .*this run has none.*eval\.reward\.use"):
        read_config(settings)


def test_the_reward_environment_is_what_the_episode_came_to() -> None:
    def verdict(**how: Any) -> Any:
        return environment(Completion("x", Parsed("x"), episode=Episode((), **how)))

    assert verdict(rewards=(0.5, None, -0.25), ended="done").score == 0.25
    assert verdict(rewards=(None,), ended="done").status is Status.ABSTAIN
    assert verdict(rewards=(1.0,), ended="error").status is Status.ERROR
    assert verdict(rewards=(1.0,), ended="deadline").status is Status.TIMEOUT
    assert environment(Completion("x", Parsed("x"))).status is Status.ABSTAIN


def test_plugins_say_which_environments_they_offer(settings: dict[str, Any]) -> None:
    plugins = load_plugins(allow=[], files=settings["plugin_files"])
    assert plugins.find("environments", "mine/vowels").owner.source == "file"


def test_a_function_of_trls_kind_sees_all_turns_of_a_conversation() -> None:
    turns: Any = ({"role": "assistant", "content": "f(1)"}, {"role": "tool", "content": "2"})
    played = Completion("f(1)", Parsed("f(1)"), episode=Episode(turns, (None,), "max_turns"))
    plain = Completion("2", Parsed("2"))
    asked: Any = [({"role": "user", "content": "?"},), "?"]
    for prompt, completion, expected in (
        (asked[0], played, list(turns)),
        (asked[0], plain, [{"role": "assistant", "content": "2"}]),
        (asked[1], played, "f(1)"),
    ):
        row = Row(Sample("s", prompt), completion, (1,))
        call = batch_call([row], takes=(), takes_all=False, optional=(), step=1, max_steps=1)
        assert call.arguments["completions"] == [expected]

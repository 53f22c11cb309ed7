"""Training from Python: functions as rewards, the policy before and after, and what a notebook shows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.errors import ConfigError
from lydite.policy import software_products

Numbers = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """As `settings`, without a worker, and three steps long."""
    del settings["rewards"]["brief"]
    settings["train"].update(max_steps=3)
    return settings


def test_a_closure_is_a_reward_and_the_policy_answers_before_and_after(quick: dict[str, Any]) -> None:
    letters = "aeiou"
    asked: list[str] = []

    @lydite.reward(isolation="inline", deterministic=False)
    def share(completion: Any) -> float:
        asked.append(completion.text)
        return sum(letter in letters for letter in completion.text) / max(1, len(completion.text))

    policy = lydite.load_policy(quick)
    before = policy.adapter_hash()
    said = policy.generate(["3 + 4 =", "5 + 1 ="], max_new_tokens=4)
    assert policy.generate(["3 + 4 =", "5 + 1 ="], max_new_tokens=4) == said
    assert len(said) == 2
    alone = {**quick, "rewards": {}, "probes": {"steps": 0}}  # nobody else calls it
    result = lydite.train(alone, rewards={"share": share}, policy=policy, display="none")

    assert result.policy is policy
    assert policy.adapter_hash() != before
    assert len(policy.generate(["3 + 4 ="], max_new_tokens=4)) == 1
    told = [json.loads(line)["completion"] for line in (result.folder / "completions.jsonl").read_text().splitlines()]
    assert asked == told
    assert "rewards/share/mean" in (result.folder / "metrics.jsonl").read_text()
    assert result.report is not None
    assert "<html" in result.report.read_text()
    figure = result.plot()
    assert any(len(trace.x) == 3 for trace in figure.data)
    assert result._repr_html_().strip().startswith("<")


def test_a_lambda_s_weight_comes_from_the_configuration(quick: dict[str, Any]) -> None:
    inline = lydite.reward(isolation="inline")
    rewards = {"one": inline(lambda completion: 1.0), "more": inline(lambda completion, *, by=0.0: by)}
    quick["rewards"] = {"mine": {"use": "more", "weight": 0.5, "options": {"by": 3.0}}}
    result = lydite.train(quick, rewards=rewards, display="none")
    metrics = json.loads((result.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert (metrics["rewards/one/mean"], metrics["rewards/mine/mean"], metrics["reward"]) == (1.0, 3.0, 2.5)


def test_a_function_that_a_reward_of_its_name_does_not_use_is_refused(quick: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"\[rewards.vowels\] uses something else"):
        lydite.train(quick, rewards={"vowels": lambda completion: 1.0}, display="none")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_mapping_file_flags_and_object_are_one_run(
    quick: dict[str, Any], written: Callable[[dict[str, Any]], Path], ran: Callable[..., tuple[int, str]],
    numbers: Numbers,
) -> None:  # fmt: skip
    mapping = lydite.train({**quick, "name": "mapping"}, display="none").folder
    other = {**quick, "train": {**quick["train"], "learning_rate": 0.5, "max_steps": 9}}
    sets = ["--set", "learning_rate=0.01", "--set", "train.max_steps=3"]
    assert ran("train", written(other), "--name", "flags", *sets) == (0, "")
    file = lydite.train(written({**quick, "name": "sums"}), display="none").folder
    assert numbers(mapping) == numbers(file) == numbers(Path("runs/flags"))


@pytest.mark.slow
def test_a_run_with_functions_goes_on_with_the_same_functions(quick: dict[str, Any], numbers: Numbers) -> None:
    inline = lydite.reward(isolation="inline")
    rewards = {"short": inline(lambda completion: 1.0 / (1 + len(completion.text)))}
    quick["train"]["save_steps"] = 1
    result = lydite.train({**quick, "rewards": {}}, rewards=rewards, display="none")
    before = numbers(result.folder)
    (result.folder / "checkpoints" / "step-000003" / "digests.json").unlink()
    again = lydite.train(resume=result.folder, rewards=rewards, display="none")
    assert numbers(again.folder) == before
    with pytest.raises(ConfigError, match="short"):
        lydite.train(resume=result.folder, display="none")


def test_a_run_goes_on_in_the_type_that_auto_came_to_when_it_began(
    quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lydite")
    inline = lydite.reward(isolation="inline")
    rewards = {"short": inline(lambda completion: 1.0 / (1 + len(completion.text)))}
    config = {**quick, "rewards": {}, "model": {**quick["model"], "dtype": "auto"}}
    for slower, dtype in ((6.6, "float32"), (0.2, "bfloat16")):
        monkeypatch.setattr(software_products, "times_as_slow", lambda _, slower=slower: slower)
        caplog.clear()
        told = "computing in float32: this processor takes 7 times as long for products in bfloat16"
        said = [told] if dtype == "float32" else []
        result = lydite.train({**config, "name": dtype}, rewards=rewards, display="none")
        assert [one for one in caplog.messages if "computing in float32" in one] == said
        assert f'dtype = "{dtype}"' in (result.folder / "config.toml").read_text()
        monkeypatch.setattr(
            software_products, "times_as_slow", lambda _, slower=slower: 7.0 - slower
        )  # on another processor
        again = lydite.train({**config, "name": dtype}, resume=result.folder, rewards=rewards, display="none")
        assert str(again.policy.dtype) == f"torch.{dtype}"

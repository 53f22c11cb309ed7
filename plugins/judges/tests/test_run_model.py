"""The judge `engine`: a run's own model, asked by the run's workers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import make_tiny_model

import lydite
from lydite import Message
from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import load_policy
from lydite.rollout import chat_server
from lydite.rollout.chat_protocol import MODELS, MOST_TOKENS
from lydite.rollout.hf import HfEngine
from lydite_judges import JudgeError, engine, ledger, run_model

ASKED = (Message(role="user", content="Is 2 even?"),)

PLUGIN = """
import zlib
import lydite

@lydite.reward(range=(0.0, 1.0))
async def liked(judge, text):
    reply = await judge([{"role": "user", "content": text}])
    return zlib.crc32(reply.encode()) % 101 / 100

@lydite.hookimpl
def lydite_rewards():
    return {"liked": liked}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", settings={"num_hidden_layers": 2})


def test_outside_a_run_it_says_so_and_what_to_take(accounts: Path) -> None:
    with pytest.raises(JudgeError, match="no run is going on here; outside a run take the judge 'openai'"):
        asyncio.run(engine(ASKED))
    assert not accounts.exists()


def test_it_knows_the_server_by_the_names_that_lydite_gives_it() -> None:
    assert run_model.URL_VARIABLE == chat_server.URL_VARIABLE
    assert run_model.TOKEN_VARIABLE == chat_server.TOKEN_VARIABLE
    assert ledger.FOLDER_VARIABLE == chat_server.FOLDER_VARIABLE
    assert chat_server.ENGINE_JUDGE in lydite_judges_offered()
    assert MODELS == ("base", "policy")
    assert MOST_TOKENS == 1024


def lydite_judges_offered() -> set[str]:
    return set(load_plugins(allow=["lydite-judges"]).offers["judges"])


def test_the_base_judges_unless_the_adapter_is_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch, accounts: Path
) -> None:
    config = ModelConfig(path=str(model), dtype="float32", device="cpu")
    policy = load_policy(config, LoraConfig(r=4), load_plugins(allow=()), 0)
    base = policy.generate("Is 2 even?", max_new_tokens=8)[0]
    for name, parameter in policy.trainable().items():
        if "lora_B" in name:
            parameter.data += 0.1
    learned = policy.generate("Is 2 even?", max_new_tokens=8)[0]
    assert base != learned
    with chat_server.ChatServer(HfEngine(policy, max_batch_size=8), policy) as server:
        monkeypatch.setenv("LYDITE_ENGINE_URL", server.url)
        monkeypatch.setenv("LYDITE_ENGINE_TOKEN", server.token)
        for adapter, said in ((False, base), (True, learned), (False, base)):
            assert asyncio.run(engine(ASKED, adapter=adapter, max_tokens=8)).strip() == said
        monkeypatch.setenv("LYDITE_ENGINE_TOKEN", "wrong")
        with pytest.raises(JudgeError, match=r"HTTP 401: .*wants its token") as caught:
            asyncio.run(engine(ASKED, adapter=True))
        assert server.token not in str(caught.value)
    counted = json.loads(accounts.read_text())["judges"]
    assert {name: one["requests"] for name, one in counted.items()} == {"base of this run": 1, "policy of this run": 2}
    assert counted["base of this run"]["cost"] == 0


def run(folder: Path, model: Path, name: str, steps: int = 3, **more: Any) -> Path:
    """The folder of a run whose only reward is what its own base says."""
    (folder / "liked.py").write_text(PLUGIN)
    (folder / "train.jsonl").write_text("".join(json.dumps({"prompt": f"{n} + 1 ="}) + "\n" for n in range(8)))
    config = {
        "name": name,
        "plugins": ["lydite-datasets", "lydite-families", "lydite-judges"],
        "plugin_files": [str(folder / "liked.py")],
        "output_dir": str(folder / "runs"),
        "model": {"path": str(model), "dtype": "float32", "device": "cpu"},
        "data": {"use": "jsonl", "options": {"path": str(folder / "train.jsonl")}},
        "rewards": {"liked": {"use": "liked", "judge": "engine", "judge_options": {"max_tokens": 8}}},
        "eval": {"reward": {"use": "liked", "judge": "engine"}, "n": 2, "every": 2},
        "stack": {"workers": 2},
        "train": {
            "max_steps": steps,
            "per_device_train_batch_size": 8,
            "num_generations": 4,
            "max_completion_length": 8,
            "learning_rate": 0.05,
            "save_steps": 1,
        },
    }
    return lydite.train({**config, **more}, display="none").folder


def test_a_run_judged_by_its_own_base_is_the_same_twice(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LYDITE_RUN_FOLDER")
    first, second = (run(tmp_path, model, name) for name in ("one", "two"))
    logs = [(folder / "metrics.jsonl").read_text() for folder in (first, second)]
    assert logs[0] == logs[1]
    rows = [json.loads(line) for line in logs[0].splitlines()]
    assert all(row["verdicts/liked/ok"] == 1.0 for row in rows)
    assert any(row["rewards/liked/std"] > 0 for row in rows)
    (counted,) = json.loads((first / "judges.json").read_text())["judges"].values()
    assert 0 < counted["requests"] == counted["replies"]
    assert counted["failed"] == 0
    assert counted["prompt_tokens"] > counted["completion_tokens"] > 0

"""Prompts whose groups are known to teach something or not, without a model and with a tiny one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lydite import api
from lydite.collect import Collector
from lydite.config import RunConfig
from lydite.measure import Stopwatch
from lydite.prepare import prepare
from lydite.prompts import Prompts
from lydite.rollout import Sampling
from lydite.types import Generated, Prompt, Rollout

PLUGIN = """
import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def vowels(completion, sample):
    if sample.columns.get("kind") in ("easy", "hard"):
        return float(sample.columns["kind"] == "easy")
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def says_a(completion):
    return "a" in completion.text

@lydite.hookimpl
def lydite_rewards():
    return {"mine/vowels": vowels, "mine/says_a": says_a}
"""

Collect = Callable[..., Collector]


class Talker:
    """Says to a prompt of kind `mixed` something else in every completion, and to any other always the same."""

    name = "talker"
    shares_weights = True

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[Rollout]:
        self.asked.append([prompt.sample.id for prompt in prompts])
        return [
            Rollout(prompt, tuple(self._say(prompt, index) for index in range(sampling.num_generations)))
            for prompt in prompts
        ]

    def _say(self, prompt: Prompt, index: int) -> Generated:
        text = "a" + "b" * index if prompt.sample.columns["kind"] == "mixed" else "ab"
        return Generated(tuple(range(1, 1 + len(text))), text, text, "stop", (-0.5,) * len(text))

    def canary(self, prompt: Prompt, tokens: int) -> None:
        return None

    def take_adapter(self, policy: Any) -> None:
        """Learns nothing."""

    def close(self) -> None:
        """Holds nothing."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plugin file, and the current one; runs write no report, which takes as long as they do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "write_report", lambda folder: folder / "none")
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path


@pytest.fixture
def write_data(here: Path) -> Callable[..., None]:
    """Writes a sample of each kind that it is given, with the columns that come by name."""

    def write(kinds: Sequence[str], **columns: Sequence[Any]) -> None:
        rows = [
            {
                "id": f"s{n}",
                "prompt": f"{n} + 1 =",
                "reference": str(n + 1),
                "kind": kind,
                **{name: values[n] for name, values in columns.items()},
            }
            for n, kind in enumerate(kinds)
        ]
        (here / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    return write


def run_settings(prompts_per_step: int, **sampling: Any) -> dict[str, Any]:
    return {
        "plugins": ["lydite-datasets", "lydite-families"],
        "plugin_files": ["mine.py"],
        "model": {"path": "model", "dtype": "float32", "device": "cpu"},
        "lora": {"dropout": 0.1},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl"}, "check_reference": "off"},
        "rewards": {"vowels": {"use": "mine/vowels"}},
        "stack": {"workers": 1},
        "probes": {"steps": 0, "canaries": False},
        "train": {
            "max_steps": 6,
            "num_generations": 4,
            "per_device_train_batch_size": 4 * prompts_per_step,
            "max_completion_length": 8,
            "learning_rate": 1e-2,
            "save_steps": 2,
        },
        "sampling": sampling,
    }


@pytest.fixture
def settings() -> Callable[..., dict[str, Any]]:
    """`settings(prompts_per_step, **sampling)`: a run's configuration, with dropout."""
    return lambda prompts_per_step=2, **sampling: run_settings(prompts_per_step, **sampling)


@pytest.fixture
def talker() -> Talker:
    return Talker()


@pytest.fixture
def collector(here: Path, talker: Talker, write_data: Callable[..., None]) -> Iterator[Collect]:
    """`collector(kinds, prompts_per_step, **sampling)` asks the talker about samples of those kinds."""
    made = []

    def make(kinds: Sequence[str], prompts_per_step: int = 2, *, changes: Any = None, **sampling: Any) -> Collector:
        write_data(kinds)
        config = RunConfig.model_validate({**run_settings(prompts_per_step, **sampling), **(changes or {})})
        prepared = prepare(config)
        made.append(prepared)
        prompts = tuple(Prompt(sample, str(sample.prompt), (1, 2)) for sample in prepared.data.train)
        return Collector(prepared, talker, Prompts(prompts, (), ()))

    yield make
    for prepared in made:
        prepared.close()


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch(torch.device("cpu"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny_model(folder, "llama", settings={"num_hidden_layers": 2, "hidden_size": 32})

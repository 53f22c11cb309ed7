"""A tiny model, and the folder of a run that has trained an adapter on it: real files, made without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import make_tiny_model
from support.vllm_policies import trained

from lydite.adapter_folder import save_adapter_atomically
from lydite.checkpoint import Checkpoint, save_checkpoint
from lydite.config import LoraConfig, RunConfig
from lydite.configfile import write_config
from lydite.exports import gguf
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy
from lydite.policy.gguf import CACHE_VARIABLE

QUESTIONS = ("What is 2 + 3?", "Name a colour.", "the end of the answer", "It is 5.", "42")


@dataclass(frozen=True)
class Run:
    """A run's folder and the policy that it trained."""

    folder: Path
    policy: Policy
    config: RunConfig


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def without_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is in a file, which llama.cpp has nothing to say to and takes a second for."""
    monkeypatch.setattr(gguf, "has_llama_cpp", lambda: False)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    made: dict[str, Path] = {}

    def make(architecture: str = "llama", **settings: Any) -> Path:
        key = repr((architecture, sorted(settings.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(architecture)
            # Heads of 32 numbers: vLLM's attention takes no smaller ones.
            own = {"num_hidden_layers": 2, "hidden_size": 128, "head_dim": 32, **settings}
            made[key] = make_tiny_model(folder, architecture, settings=own)
        return made[key]

    return make


@pytest.fixture(scope="session")
def make_run(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Makes the folder of a run: best adapter of step 2, checkpoints of steps 1 and 2, evaluations, completions."""

    def make(
        model: Path | None = None,
        *,
        scale: float = 0.1,
        lora: dict[str, Any] | None = None,
        evaluated: bool = True,
        **settings: Any,
    ) -> Run:
        folder = tmp_path_factory.mktemp("runs") / "sums"
        folder.mkdir()
        config = RunConfig.model_validate(
            {
                "name": "sums",
                "model": {"path": str(model or make_model()), "dtype": "float32", "device": "cpu", **settings},
                "lora": lora or {"r": 4, "alpha": 12},
                "data": {"use": "arithmetic"},
                "rewards": {"correct": {"use": "text/number"}},
                "eval": {"reward": {"use": "text/number"}},
                "train": {"max_completion_length": 6},
            }
        )
        (folder / "config.toml").write_text(write_config(config))
        policy = load_policy(config.model, config.lora, load_plugins(allow=()), config.seed)
        for step in (1, 2):
            learned(policy, scale * step, config.lora)
            save_checkpoint(folder / "checkpoints", Checkpoint(step, policy.adapter_state(), {}, {}), keep=2)
        save_adapter_atomically(policy, folder / "adapter")
        (folder / "metrics.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2)))
        (folder / "manifest.json").write_text(json.dumps(MANIFEST))
        prompts = [policy.chat.prompt(_sample(text), instructions="", system=None).text for text in QUESTIONS]
        if evaluated:
            save_adapter_atomically(policy, folder / "checkpoints" / "best")
            evals = [_evaluation(0, prompts, right=1), _evaluation(2, prompts, right=4)]
            (folder / "evals.jsonl").write_text("".join(json.dumps(one) + "\n" for one in evals))
        rows = [{"step": 1, "index": index, "prompt": text} for text in prompts[:3] for index in range(2)]
        (folder / "completions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        return Run(folder, policy, config)

    return make


@pytest.fixture(scope="session")
def run(make_run: Callable[..., Run]) -> Run:
    """A llama's run that tests only read."""
    return make_run()


MANIFEST = {
    "lydite": "0.1.0",
    "packages": {"torch": "2.13.0"},
    "plugins": [{"distribution": "lydite-text", "version": "1.2.3", "sha256": "ab" * 32}],
}


def learned(policy: Policy, scale: float, lora: LoraConfig) -> None:
    """Lets the policy have learned: numbers in B, or in every weight where all are trained."""
    if lora.enabled:
        trained(policy, scale)
        return
    draws = torch.Generator().manual_seed(1)
    for parameter in policy.trainable().values():
        parameter.data.add_(0.1 * scale * torch.randn(parameter.shape, generator=draws))


def _sample(text: str) -> Any:
    from lydite.types import Sample

    return Sample(text, text)


def _evaluation(step: int, prompts: list[str], *, right: int) -> dict[str, Any]:
    answers = [
        {"sample": str(place), "prompt": prompt, "score": float(place < right)} for place, prompt in enumerate(prompts)
    ]
    return {"step": step, "metric": "accuracy", "value": right / len(prompts), "n": len(prompts), "answers": answers}

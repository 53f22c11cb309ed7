"""Whole runs that sample with vLLM: a tiny one by the library, the demo by its command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import make_tiny_model

import lydite
from lydite import api
from lydite.errors import SentinelError
from lydite.rollout.vllm.engine import VllmEngine

EXAMPLE = Path(__file__).parents[2] / "examples" / "arithmetic.toml"


@lydite.reward(range=(0.0, 1.0), isolation="inline")
def vowels(completion: lydite.Completion) -> float:
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(api, "write_report", lambda folder: folder / "none")  # no part of what is tested
    make_tiny_model(tmp_path / "model", "llama", settings={"hidden_size": 128, "head_dim": 32})
    rows = [{"prompt": f"{number} + 1 =", "reference": str(number + 1)} for number in range(8)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "run",
        "output_dir": str(tmp_path / "runs"),
        "plugins": ["lydite-datasets"],
        "model": {"path": str(tmp_path / "model"), "dtype": "float32", "device": "cpu"},
        "data": {
            "use": "jsonl", "options": {"path": str(tmp_path / "train.jsonl")}, "check_reference": "off",
            "max_prompt_length": 64,
        },
        "probes": {"steps": 0},
        "engine": {"use": "vllm"},
        "train": {
            "max_steps": 3, "num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 8,
            "learning_rate": 0.01, "save_steps": 3,
        },
    }  # fmt: skip


def test_it_trains_on_what_vllm_samples(config: dict[str, Any]) -> None:
    result = lydite.train(config, rewards={"vowels": vowels}, display="none")
    metrics = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 3
    for one in metrics:
        # float32 on both sides: what is sampled is what is trained, after each update.
        assert one["sampling/sampling_logp_difference/max"] < 1e-3
        assert one["sampling/canary_logp_difference/max"] < 1e-3
        assert one["sampling/importance_sampling_ratio/mean"] == pytest.approx(1.0, abs=1e-3)


def test_a_forgotten_reset_of_the_prefix_cache_stops_the_run_at_its_first_step(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_reset(self: VllmEngine, what: str) -> None:
        self._handover.copy()
        self._holds = "adapter"

    monkeypatch.setattr(VllmEngine, "_hold", without_reset)
    with pytest.raises(SentinelError, match="from its prefix cache"):
        lydite.train(config, rewards={"vowels": vowels}, display="none")


@pytest.mark.model
def test_the_demo_with_vllm(tmp_path: Path) -> None:
    asked = [
        sys.executable, "-c", "from lydite.cli import main; main()", "train", str(EXAMPLE), "--set", "engine.use=vllm",
        "--set", "train.max_steps=2", "--set", "eval.n=4", "--set", "probes.steps=0",
        "--set", f"output_dir={tmp_path}",
    ]  # fmt: skip
    ended = subprocess.run(asked, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "engine: vLLM" in ended.stderr
    metrics = [json.loads(line) for line in (tmp_path / "arithmetic" / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 2
    for one in metrics:  # bfloat16: noise of rounding, and nothing more
        assert one["sampling/sampling_logp_difference/mean"] < 0.05
        assert one["sampling/ess"] > 0.9

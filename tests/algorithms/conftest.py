"""A tiny random model, a task that it can learn in a few steps, and a step that is scored already."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lydite.types import Completion, Generated, Parsed, Prompt, Sample, Scored, ScoredCompletion, ScoredGroup

ALGORITHMS = ("grpo", "rloo", "online_dpo", "ppo")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny_model(folder, "llama", settings={"num_hidden_layers": 2, "hidden_size": 32})


@pytest.fixture
def settings(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A configuration of a run in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(12)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "plugins": ["lydite-datasets", "lydite-families"],
        "output_dir": "runs",
        "model": {"path": str(model), "dtype": "float32", "device": "cpu"},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl"}, "check_reference": "off"},
        "rewards": {"paid": {"use": "paid"}},
        "train": {
            "max_steps": 4, "num_generations": 4, "per_device_train_batch_size": 8, "max_completion_length": 8,
            "learning_rate": 1e-2,
        },
    }  # fmt: skip


@pytest.fixture
def scored() -> Callable[..., Scored]:
    """Builds a step of groups with completions of these lengths and rewards."""

    def build(
        lengths: Sequence[Sequence[int]],
        rewards: Sequence[Sequence[float | None]],
        truncated: Sequence[tuple[int, int]] = (),
        sampler: Callable[[int], tuple[float, ...]] | None = None,
    ) -> Scored:
        groups = []
        for place, (group, totals) in enumerate(zip(lengths, rewards, strict=True)):
            made = tuple(
                ScoredCompletion(
                    Generated(
                        tuple(5 + (7 * index + 11 * place + token) % 40 for token in range(length)), "", "",
                        "length" if (place, index) in truncated else "stop",
                        None if sampler is None else sampler(length),
                    ),
                    Completion("", Parsed("x"), index=index), {}, reward, 0.0 if reward is None else 1.0 - index % 3,
                )
                for index, (length, reward) in enumerate(zip(group, totals, strict=True))
            )  # fmt: skip
            groups.append(ScoredGroup(Prompt(Sample(str(place), "?"), "?", (3 + place, 4)), made))
        return Scored(tuple(groups), {}, {})

    return build

"""Every example trains: two steps of it as it stands, but for a tiny model and small batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.configfile import read_config

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
SMALL = (
    "train.max_steps=2",
    "train.per_device_train_batch_size=8",
    "train.max_completion_length=8",
    "eval.n=2",
    "stack.workers=1",
    "stack.max_error_share=0.0",
)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_trains(example: Path, with_model: Any) -> None:
    folder = lydite.train(read_config(example, overrides=SMALL), display="none").folder
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [one["step"] for one in steps] == [1, 2]
    assert all("reward" in one for one in steps)
    assert not [one for one in steps[-1] if one.startswith("verdicts/") and one.endswith("/error") and steps[-1][one]]

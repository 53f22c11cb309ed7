"""Real sampling, rewards and updates on a random model: under each algorithm it comes to write what is paid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lydite

LETTERS = frozenset("abcdefghijklm")
# A weak hold on the start: what is paid for here has little to do with what a random model writes.
CASES: dict[str, dict[str, Any]] = {
    "rloo": {"rloo": {"beta": 0.01}},
    "online_dpo": {"online_dpo": {"pairs": "ranked", "beta": 0.03}},
    "ppo": {"ppo": {"kl_coef": 0.01, "value_learning_rate": 0.01}, "train": {"num_iterations": 2}},
}


def paid(completion: Any) -> float:
    """The share of letters of the alphabet's first half: about a tenth of what a random model writes."""
    return sum(letter in LETTERS for letter in completion.text) / max(1, len(completion.text))


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_what_is_paid_for_becomes_frequent(settings: dict[str, Any], case: str) -> None:
    own = dict(CASES[case])
    train = {
        "max_steps": 25, "num_generations": 8, "per_device_train_batch_size": 16, "max_completion_length": 6,
        "learning_rate": 5e-2, "lr_scheduler_type": "constant", "save_steps": 100, **own.pop("train", {}),
    }  # fmt: skip
    reward = lydite.reward(isolation="inline")(paid)
    config = {**settings, **own, "algorithm": case, "train": train}
    result = lydite.train(config, rewards={"paid": reward}, display="none")
    curve = [one["reward"] for one in metrics(result.folder)]
    early, late = sum(curve[:3]) / 3, sum(curve[-3:]) / 3
    assert late > early + 0.12, curve  # six times what chance moves a mean over three steps

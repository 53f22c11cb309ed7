"""The smallest configuration there is, as a file's tables."""

from typing import Any

import pytest


@pytest.fixture
def tables() -> dict[str, Any]:
    return {
        "model": {"path": "some/model"},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl", "high": 30}},
        "rewards": {"correct": {"use": "text/exact"}, "tidy": {"use": "text/length", "weight": 0.5}},
    }

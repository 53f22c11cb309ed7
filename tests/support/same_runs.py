"""Whether the folders of two runs tell of the same run, though it was made by other numbers of processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file


def lines(folder: Path, log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / log).read_text().splitlines()]


def assert_same_rollouts(one: Path, other: Path, keys: Sequence[str]) -> list[tuple[Any, ...]]:
    """What these keys of every completion hold, which is the same in both."""
    first, second = (
        [tuple(row[key] for key in keys) for row in lines(run, "completions.jsonl")] for run in (one, other)
    )
    assert first == second, "the completions, or what they are worth, are not the same"
    return first


def assert_same_adapters(one: Path, other: Path, *, learned: float) -> None:
    """All but a hundredth of each matrix to a thousandth of the largest weight, which is more than `learned`.

    Adam moves a weight as far for a gradient that is nothing but rounding as for any other: the few of those may go
    either way, and which they are depends on the processor. What a lost or doubled gradient moves is nearly all.
    """
    weights = [load_file(run / "adapter/adapter_model.safetensors") for run in (one, other)]
    largest = max(float(value.abs().max()) for value in weights[0].values())
    assert largest > learned, "nothing was learned"
    assert weights[0].keys() == weights[1].keys()
    apart = {name: (value - weights[1][name]).abs() > 1e-3 * largest for name, value in weights[0].items()}
    shares = {name: float(far.float().mean()) for name, far in apart.items()}
    assert max(shares.values()) <= 0.01, {name: share for name, share in shares.items() if share > 0.01}

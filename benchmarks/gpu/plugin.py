"""A plugin of the benchmarks' own runs: prompts of a fixed length, and word of each step's end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.gpu.told import TOLD

from lydite import Sample, StepReport, hookimpl

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letters(*, length: int, size: int, seed: int = 0) -> list[Sample]:
    """Samples whose prompts are random letters: each is one token of the random models' tokenizer."""
    drawn = random.Random(seed)
    return [Sample(str(place), "".join(drawn.choices(_LETTERS, k=length))) for place in range(size)]


@hookimpl
def lydite_datasets() -> Mapping[str, Callable[..., Any]]:
    return {"letters": letters}


@hookimpl
def lydite_step(report: StepReport) -> None:
    for tell in TOLD:
        tell(report)

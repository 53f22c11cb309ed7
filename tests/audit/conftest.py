"""Labelled files and verifiers of plain functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.plugins import Plugins, load_plugins


@lydite.reward(range=(0.0, 1.0), isolation="inline")
def same(answer: str, reference: str, *, fold: bool = False) -> float:
    """Inline, and with an option."""
    return float(answer.casefold() == reference.casefold() if fold else answer == reference)


def moods(answer: str, reference: str) -> Any:
    """In a worker: does what the answer says."""
    import os
    import time

    if answer == "abstain":
        return None
    if answer == "raise":
        raise RuntimeError("no such luck")
    if answer == "die":
        os._exit(3)
    if answer == "hang":
        time.sleep(60)
    return lydite.Verdict(float(answer == reference), reason="equal" if answer == reference else "different")


async def waits(answer: str, reference: str) -> float:
    import asyncio

    await asyncio.sleep(0.05)
    return float(answer == reference)


def of_town(answer: str, town: str) -> float:
    return float(answer == town)


def batch(completions: list[str], reference: list[str], **columns: Any) -> list[float]:
    return [float(one == gold) for one, gold in zip(completions, reference, strict=True)]


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    functions = {"same": same, "moods": moods, "waits": waits, "of_town": of_town, "batch": batch}
    return load_plugins(allow=()).with_functions(functions)


Write = Callable[[Sequence[Mapping[str, Any] | str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(rows: Sequence[Mapping[str, Any] | str]) -> Path:
        path = tmp_path / "labelled.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write

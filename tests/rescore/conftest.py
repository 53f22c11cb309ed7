"""Saved completions, and stacks of plain functions to judge them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import lydite
from lydite.config import RunConfig
from lydite.plugins import Plugins, load_plugins
from lydite.rescore import open_saved, rescore


@lydite.reward(isolation="inline")
def right(answer: str, reference: str) -> float:
    return float(answer == reference)


@lydite.reward(isolation="inline")
def length(text: str) -> float:
    return float(len(text))


@lydite.reward(isolation="inline")
def topical(text: str, topic: str) -> float:
    return float(topic in text)


@lydite.reward(isolation="inline")
def asked(prompt: Any) -> float:
    return float(isinstance(prompt, tuple))


@lydite.reward(isolation="inline")
def unsure(text: str) -> float | None:
    return None if "?" in text else 1.0


@lydite.reward(isolation="inline")
def breaks(text: str) -> float:
    raise RuntimeError("no such luck")


def slow(text: str) -> float:
    """In a worker."""
    return float(len(text))


def ids(completions: list[str], completion_ids: list[list[int]]) -> list[float]:
    return [float(len(one)) for one in completion_ids]


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    functions = (right, length, topical, asked, unsure, breaks, slow, ids)
    return load_plugins(allow=()).with_functions({one.__name__: one for one in functions})


def stack(*names: str, **tables: Any) -> RunConfig:
    rewards = tables.pop("rewards", {}) | {name: {"use": name} for name in names}
    return RunConfig.model_validate({"model": {"path": "none"}, "data": {"use": "none"}, "rewards": rewards, **tables})


@pytest.fixture
def stack_of() -> Callable[..., RunConfig]:
    return stack


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Sequence[Mapping[str, Any] | str], name: str = "saved.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def score(plugins: Plugins) -> Callable[..., tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]]:
    """Scores a file; gives what changed, and each row's number and record as they came."""

    def score(path: Path, config: RunConfig, *, opening: Any = None, **settings: Any) -> Any:
        records: list[tuple[int, dict[str, Any]]] = []
        found = rescore(
            open_saved(path, **(opening or {})),
            config,
            plugins,
            write=lambda number, record: records.append((number, dict(record))),
            **settings,
        )
        return found, records

    return score


def plain(completion: str, prompt: str = "p", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **more}


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return plain

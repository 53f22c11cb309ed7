"""Rewards under check, each with a table written for it; all of them share one worker process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lydite.builtin import Plain
from lydite.rewards.worker import WorkerPool
from lydite.testing import CheckReport, Item, check, read_cases, worker_pool
from lydite.testing.attacking import check_attacks
from lydite.testing.material import gold_rows, with_wrong_answers
from lydite.testing.subject import Subject, find_plugins

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Peru": "Lima", "Chad": "N'Djamena",
    "Kenya": "Nairobi", "Japan": "Tokyo",
}  # fmt: skip


def boxed(answer: str) -> str:
    return f"I think so. \\boxed{{{answer}}}"


def tagged(answer: str) -> str:
    return f"<think>\nLet me see.\n</think>\n<answer>{answer}</answer>"


def plain(answer: str) -> str:
    return answer


def rows_of(write: Callable[[str], str], **more: Any) -> list[dict[str, Any]]:
    """A row for each right answer, each wrong one, and a few that cheat; the golds are also in a column."""
    rows: list[dict[str, Any]] = []
    names = list(CAPITALS.items())
    for place, (country, capital) in enumerate(names):
        asked = {"prompt": f"The capital of {country}?", "reference": capital, "columns": {"solution": capital}, **more}
        other = names[(place + 1) % len(names)][1]
        rows.append({"completion": write(capital), "expected": "pass", "gold": True, **asked})
        rows.append({"completion": write(other), "expected": "fail", **asked})
        rows.append({"completion": write("no idea"), "expected": "fail", **asked})
    return rows


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    with worker_pool() as one:
        yield one


@pytest.fixture
def write_cases(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows, and what the first line says, to a case file."""

    def write(rows: Sequence[Mapping[str, Any]], **header: Any) -> Path:
        path = tmp_path / f"cases-{len(list(tmp_path.iterdir()))}.jsonl"
        lines = [header, *rows] if header else rows
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def checked(pool: WorkerPool, write_cases: Callable[..., Path]) -> Callable[..., CheckReport]:
    """Checks a function on rows of capitals, written in a box, or on rows of its own."""

    def run(
        reward: Any, rows: Any = None, *, write: Callable[[str], str] = boxed, more: Any = None, **header: Any
    ) -> CheckReport:
        path = write_cases(rows if rows is not None else rows_of(write, **(more or {})), **header)
        return check(reward, cases=path, pool=pool)

    return run


@pytest.fixture
def attacked(pool: WorkerPool, write_cases: Callable[..., Path]) -> Callable[..., dict[str, Item]]:
    """The items of the section `attacks` alone, by name, on rows of capitals in a box."""

    def run(reward: Any) -> dict[str, Item]:
        file = read_cases(write_cases(rows_of(boxed)))
        plugins, name = find_plugins(reward)
        subject = Subject(name, plugins, pool, format=Plain())
        golds = [with_wrong_answers(subject, one, file) for one in gold_rows(file)[:3]]
        return {item.name: item for item in check_attacks(subject, golds)}

    return run


@pytest.fixture(scope="session")
def kit() -> Any:
    """The helpers above, for tests that are not collected as a package."""
    return SimpleNamespace(boxed=boxed, tagged=tagged, plain=plain, rows_of=rows_of)


@pytest.fixture(scope="session")
def failed() -> Callable[[CheckReport], set[str]]:
    """Names of the items that failed."""

    def names(report: CheckReport) -> set[str]:
        return {item.name for _, item in report.failures()}

    return names

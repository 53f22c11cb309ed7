"""A run that was stopped, by whatever, and gone on with is the run that was never stopped."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

Event = Callable[[Path], bool]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def grows(log: str, by: int = 1) -> Callable[[Path], Event]:
    """When a log has more lines than the life began with, or was cut and then written to again."""

    def begin(folder: Path) -> Event:
        seen = [lines(folder / log), 0]

        def happened(folder: Path) -> bool:
            now = lines(folder / log)
            seen[1] += max(0, now - seen[0])
            seen[0] = now
            return seen[1] >= by

        return happened

    return begin


def at(pattern: str) -> Callable[[Path], Event]:
    """When something of that name is in the run's folder that was not there before."""

    def begin(folder: Path) -> Event:
        old = {(path, path.stat().st_mtime_ns) for path in folder.glob(pattern)}

        def happened(folder: Path) -> bool:
            return any(path.exists() and (path, path.stat().st_mtime_ns) not in old for path in folder.glob(pattern))

        return happened

    return begin


def scoring(folder: Path) -> Event:
    """When the worker is asked for a verdict."""
    mark = folder.parent.parent / "scoring"
    mark.unlink(missing_ok=True)
    return lambda _: mark.exists()


def kills() -> Iterator[tuple[Callable[[Path], Event], float, bool]]:
    """Ten instants of a run's life: what to wait for, seconds to wait after it, and whether the disk is slow."""
    chance = random.Random(7)
    yield at("config.toml"), 0.0, True  # before there is a manifest
    yield scoring, 0.0, False
    yield at("checkpoints/.draft-step-*/optimizer.pt"), 0.0, True  # the first checkpoint, half written
    yield grows("metrics.jsonl", 2), chance.uniform(0.0, 0.1), False
    yield grows("completions.jsonl", chance.randint(1, 8)), 0.0, False
    yield grows("evals.jsonl"), 0.0, False
    yield grows("metrics.jsonl", chance.randint(1, 3)), chance.uniform(0.0, 0.1), False
    yield at("checkpoints/.draft-step-*"), 0.2, True
    yield scoring, chance.uniform(0.0, 0.1), False
    yield at("adapter"), 0.0, True  # all is done but the summary and the report


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_as_one_that_never_was(
    here: Path, settings: dict[str, Any], written: Callable[[dict[str, Any]], Path],
    start: Callable[..., subprocess.Popen[str]], ran: Callable[..., tuple[int, str]],
    numbers: Callable[[Path], dict[str, bytes]],
) -> None:  # fmt: skip
    file, folder = written(settings), here / "runs" / "killed"
    assert ran("train", file, "--name", "whole") == (0, "")

    children: list[psutil.Process] = []
    drafts = 0
    for wait_for, pause, slow in kills():
        event = wait_for(folder)
        arguments = ["--resume", folder] if folder.exists() else [file, "--name", "killed"]
        life = start("train", *arguments, **({"SLOW_DISK": "1"} if slow else {}))
        deadline = time.monotonic() + 60
        while life.poll() is None and not event(folder) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(pause)
        if life.poll() is None:
            children += psutil.Process(life.pid).children(recursive=True)
        life.kill()
        _, said = life.communicate()
        assert life.returncode == -9, f"ended before it was killed: {said}"
        drafts += len(list(folder.glob("checkpoints/.draft-step-*")))
    assert drafts >= 2, "no kill hit a checkpoint while it was written"
    assert not (folder / "summary.json").exists()

    code, said = ran("train", "--resume", folder)
    assert code == 0, said
    assert numbers(folder) == numbers(here / "runs" / "whole")
    mine, theirs = (json.loads((here / "runs" / name / "summary.json").read_text()) for name in ("killed", "whole"))
    same = ("steps", "stopped", "heldout", "reward", "plugins", "report")
    assert {key: mine[key] for key in same} == {key: theirs[key] for key in same}
    assert (folder / "manifest.json").is_file()
    assert not list(folder.rglob(".draft-*")), "half written checkpoints were left behind"
    assert children, "no worker was seen"
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive, f"processes outlived the run: {alive}"

"""Four processes make the run of one, of groups that they cannot share out evenly; and one that fails ends it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.same_runs import assert_same_adapters, assert_same_rollouts, lines

import lydite

# One import for all: the processes are forks of the one that has made it, before it computes anything.
PROGRAM = """
import json, os, sys

import accelerate, peft, transformers
import lydite
import lydite.trainer
from lydite.errors import LyditeError
from lydite.rollout.hf import HfEngine

def run(rank):
    with open("variants.json") as file:
        variants = json.load(file)
    for name, settings in variants.items():
        lydite.train({**settings, "name": f"four-{name}"}, display="none")
    settings = variants["grpo"]

    generate, calls = HfEngine.generate, 0

    def failing(engine, prompts, sampling, seed):
        nonlocal calls
        calls += sampling.temperature > 0
        if calls == 4 and rank == 2:
            raise ValueError("a bug of one process")
        return generate(engine, prompts, sampling, seed)

    HfEngine.generate = failing
    try:
        lydite.train({**settings, "name": "failing"}, display="none")
    except (LyditeError, ValueError) as error:
        told = [type(error).__name__, str(error), getattr(error, "told_elsewhere", None)]
    with open(f"told-{rank}.json", "w") as file:
        json.dump(told, file)

started = []
for rank in range(4):
    process = os.fork()
    if process == 0:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
        try:
            run(rank)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    started.append(process)
sys.exit(any(os.waitpid(process, 0)[1] for process in started))
"""


@pytest.fixture(scope="module")
def variants(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Runs whose processes have other things to tell each other: values of tokens, and further rounds of prompts."""
    train = {name: value for name, value in settings["train"].items() if name not in ("beta", "scale_rewards")}
    short = {"max_steps": 2, "num_iterations": 1}
    return {
        "grpo": settings,
        "ppo": {**settings, "algorithm": "ppo", "train": {**train, **short}},
        "refills": {
            **settings,
            # Adam moves a weight as far for a gradient that is nothing but rounding: with this seed few are so small,
            # for any number of threads.
            "seed": 5,
            "rewards": {"seldom": {"use": "mine/seldom"}},
            "sampling": {"max_refills": 2, "flat_groups": "drop", "order": "frontier"},
            "train": {**train, **short, "micro_batch_tokens": 100},
        },
    }


@pytest.fixture(scope="module")
def alone(one: Path, variants: dict[str, dict[str, Any]]) -> dict[str, Path]:
    """The folders of the same runs in one process."""
    return {
        name: one if name == "grpo" else lydite.train({**given, "name": f"one-{name}"}, display="none").folder
        for name, given in variants.items()
    }


@pytest.fixture(scope="module")
def told(place: Path, variants: dict[str, dict[str, Any]]) -> list[list[Any]]:
    """What each process came to in the run that failed."""
    (place / "variants.json").write_text(json.dumps(variants))
    (place / "program.py").write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=place, text=True, capture_output=True, timeout=180,
        env={**os.environ, **common, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((place / f"told-{rank}.json").read_text()) for rank in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "ppo", "refills"])
def test_four_processes_make_the_run_of_one(
    place: Path, alone: dict[str, Path], told: list[list[Any]], name: str
) -> None:
    one, four = alone[name], place / "runs" / f"four-{name}"
    rollouts = assert_same_rollouts(one, four, ("step", "sample", "completion", "advantage"))
    assert len(rollouts) >= 2 * 5 * 4
    assert lines(one, "pool.jsonl") == lines(four, "pool.jsonl")
    metrics = lines(one, "metrics.jsonl")
    for mine, theirs in zip(metrics, lines(four, "metrics.jsonl"), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
    assert name != "refills" or any(row["sampling/refills"] for row in metrics)
    assert_same_adapters(one, four, learned=0.0)
    # Where its time went between processes.
    for row in lines(four, "timings.jsonl"):
        assert all(0.0 < row[f"between/{part}"] < row["step_time"] for part in ("wait", "exchange", "gradients"))


@pytest.mark.slow
def test_one_that_fails_while_others_wait_ends_the_run_and_one_process_goes_on(
    place: Path, one: Path, told: list[list[Any]]
) -> None:
    assert told[2] == ["ValueError", "a bug of one process", None]
    for rank in (0, 1, 3):
        kind, said, elsewhere = told[rank]
        assert (kind, elsewhere) == ("ProcessError", True), "the one that failed tells, and nobody else"
        assert "step 4: process 2 of 4 failed: ValueError: a bug of one process" in said
        assert "everything up to step 3 is saved" in said
    folder = place / "runs" / "failing"
    assert lydite.train(resume=folder, display="none").summary["steps"] == 4
    for mine, theirs in zip(lines(one, "metrics.jsonl"), lines(folder, "metrics.jsonl"), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)

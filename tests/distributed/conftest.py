"""A tiny run, and two processes of it: started together as torchrun would, without its agent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import os
import resource
import time
from pathlib import Path

import lydite

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def vowels(completion):
    time.sleep(float(os.environ.get("SLOW_REWARD", "0")))
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))

@lydite.reward(range=(0.0, 1.0))
def brief(completion):
    return 1.0 / (1.0 + len(set(completion.text)))

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def seldom(completion):
    return float(sum(map(ord, completion.text)) % 8 == 0)

@lydite.hookimpl
def lydite_rewards():
    return {"mine/vowels": vowels, "mine/brief": brief, "mine/seldom": seldom}

names = []

@lydite.hookimpl
def lydite_start(run):
    names.append(run.name)

@lydite.hookimpl
def lydite_step(report):
    with Path(__file__).with_name(f"told-{names[-1]}.txt").open("a") as file:
        file.write(f"process {os.environ.get('RANK', '0')}, step {report.step}\\n")
    if os.environ.get("FULL_AFTER") == str(report.step):
        grown = Path("runs", names[-1], "completions.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (grown + 30, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data and a plugin file."""
    from support.tiny_model import make_tiny_model

    folder = tmp_path_factory.mktemp("processes")
    make_tiny_model(folder / "model", "llama", settings={"num_hidden_layers": 2, "hidden_size": 32})
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(12)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="session")
def settings(place: Path) -> dict[str, Any]:
    """A configuration with all that goes from process to process: updates on a policy that has moved on, a reference,
    a worker, an evaluation; and groups that two processes cannot share out evenly.
    """
    return {
        "plugins": ["lydite-datasets", "lydite-families", "lydite-formats"],
        "plugin_files": [str(place / "mine.py")],
        "output_dir": str(place / "runs"),
        "model": {"path": str(place / "model"), "dtype": "float32", "device": "cpu"},
        "data": {"use": "jsonl", "options": {"path": str(place / "train.jsonl")}, "check_reference": "off"},
        "rewards": {"vowels": {"use": "mine/vowels"}, "brief": {"use": "mine/brief", "weight": 0.5}},
        "stack": {"workers": 1},
        "eval": {"reward": {"use": "mine/vowels"}, "n": 3, "every": 2},
        "train": {
            "max_steps": 4,
            "num_generations": 4,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 5,
            "steps_per_generation": 10,
            "num_iterations": 2,
            "beta": 0.05,
            "scale_rewards": "batch",
            "max_completion_length": 8,
            "learning_rate": 1e-2,
            "save_steps": 2,
        },
    }


@pytest.fixture(scope="session")
def one(settings: dict[str, Any]) -> Path:
    """The folder of the run in one process."""
    import lydite

    return lydite.train({**settings, "name": "one"}, display="none").folder


@pytest.fixture(scope="session")
def two_run(place: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Runs a program in two processes, and gives what each wrote to `told-RANK.json`."""

    def run(program: str) -> list[dict[str, Any]]:
        (place / "program.py").write_text(program)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        started = [
            subprocess.Popen(
                [sys.executable, "program.py"], cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]  # fmt: skip
        said = [process.communicate(timeout=120)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0], "\n".join(said)
        return [json.loads((place / f"told-{rank}.json").read_text()) for rank in range(2)]

    return run

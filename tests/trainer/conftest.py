"""A tiny model, its data and plugin file, and runs on them: in this process, or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import os
import time
from pathlib import Path

import lydite

if os.environ.get("SLOW_DISK"):
    fsync = os.fsync

    def slow(handle):
        time.sleep(0.15)
        fsync(handle)

    os.fsync = slow

@lydite.reward(range=(0.0, 1.0), isolation="inline")
def vowels(completion):
    return sum(letter in "aeiou" for letter in completion.text) / max(1, len(completion.text))

@lydite.reward(range=(0.0, 1.0))
def brief(completion):
    Path(__file__).with_name("scoring").touch()
    time.sleep(0.01)
    return 1.0 / (1.0 + len(set(completion.text)))

@lydite.hookimpl
def lydite_rewards():
    return {"mine/vowels": vowels, "mine/brief": brief}
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_model import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny_model(folder, "llama", settings={"num_hidden_layers": 2, "hidden_size": 32})


@pytest.fixture
def here(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and a plugin file, and the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(model)
    rows = [{"prompt": f"{n} + 1 =", "reference": str(n + 1)} for n in range(12)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path


@pytest.fixture
def settings(here: Path) -> dict[str, Any]:
    """A configuration with all that a resumed run could get wrong: dropout, several updates a step, a worker."""
    return {
        "plugins": ["lydite-datasets", "lydite-families", "lydite-formats"],
        "plugin_files": [str(here / "mine.py")],
        "output_dir": "runs",
        "model": {"path": "model", "dtype": "float32", "device": "cpu"},
        "lora": {"dropout": 0.1},
        "data": {"use": "jsonl", "options": {"path": "train.jsonl"}, "check_reference": "off"},
        "rewards": {"vowels": {"use": "mine/vowels"}, "brief": {"use": "mine/brief", "weight": 0.5}},
        "stack": {"workers": 1},
        "eval": {"reward": {"use": "mine/vowels"}, "n": 4, "every": 2},
        "train": {
            "max_steps": 8,
            "num_generations": 4,
            "per_device_train_batch_size": 8,
            "num_iterations": 2,
            "max_completion_length": 8,
            "learning_rate": 1e-2,
            "save_steps": 2,
        },
    }


@pytest.fixture
def start(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `lydite ARGUMENTS` as a process."""

    def launch(*arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).parent / "lydite"), *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=here, env={**os.environ, "COLUMNS": "300", **environ}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    return launch


@pytest.fixture
def ran(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str]]:
    """Runs `lydite ARGUMENTS` to its end, and gives its exit code and what it said on stderr."""

    def run(*arguments: str | Path, **environ: str) -> tuple[int, str]:
        process = start(*arguments, **environ)
        _, said = process.communicate(timeout=120)
        return process.returncode, said

    return run


@pytest.fixture
def numbers() -> Callable[[Path], dict[str, bytes]]:
    """The bytes of all that must be the same in two runs of one configuration and seed."""

    def read(folder: Path) -> dict[str, bytes]:
        names = ("metrics.jsonl", "completions.jsonl", "evals.jsonl", "adapter/adapter_model.safetensors")
        best = "checkpoints/best/adapter_model.safetensors"
        return {name: (folder / name).read_bytes() for name in (*names, best)}

    return read


@pytest.fixture
def written(here: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a configuration as a TOML file."""

    def write(settings: dict[str, Any]) -> Path:
        from lydite.config import RunConfig
        from lydite.configfile import write_config

        path = here / "sums.toml"
        path.write_text(write_config(RunConfig.model_validate(settings)))
        return path

    return write

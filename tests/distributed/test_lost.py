"""A run that loses a process ends soon, says how to go on, and goes on in another number of processes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import lydite
from lydite.config import RunConfig
from lydite.configfile import write_config
from lydite.errors import ProcessError
from lydite.rollout.hf import HfEngine


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_one_process_goes_on(
    place: Path, settings: dict[str, Any], one: Path
) -> None:
    (place / "sums.toml").write_text(write_config(RunConfig.model_validate(settings)))
    folder = place / "runs" / "killed"
    command = [sys.executable, "-m", "lydite", "train", "sums.toml", "--name", "killed", "--processes", "2"]
    launcher = subprocess.Popen(
        command, cwd=place, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "SLOW_REWARD": "0.05", "COLUMNS": "300"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "step-000002").exists():
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ranks = {
        child.environ()["RANK"]: child
        for child in psutil.Process(launcher.pid).children(recursive=True)
        if "lydite" in child.cmdline() and "RANK" in child.environ()
    }
    assert set(ranks) == {"0", "1"}
    ranks["1"].send_signal(signal.SIGKILL)
    began = time.monotonic()
    _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 1, said
    assert time.monotonic() - began < 40  # seconds on an idle machine
    assert "process 1 of 2 was killed (SIGKILL)" in said
    assert "to go on: lydite train --resume" in said
    assert not psutil.pid_exists(ranks["0"].pid)
    assert not (folder / "summary.json").exists()

    assert lydite.train(resume=folder, display="none").summary["steps"] == 4
    assert_same_metrics(folder, one)


@pytest.mark.slow
def test_a_disk_that_is_full_for_the_process_that_writes_ends_all_and_is_told_once(
    place: Path, settings: dict[str, Any], one: Path
) -> None:
    (place / "sums.toml").write_text(write_config(RunConfig.model_validate({**settings, "output_dir": "runs"})))
    command = [sys.executable, "-m", "lydite", "train", "sums.toml", "--name", "full", "--processes", "2"]
    run = subprocess.run(
        command, cwd=place, text=True, capture_output=True, timeout=120, check=False,
        env={**os.environ, "FULL_AFTER": "2", "COLUMNS": "300"},
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert run.stderr.splitlines()[-2:] == [
        f"error: cannot write runs/full/completions.jsonl: {os.strerror(errno.EFBIG)}",
        "everything up to step 2 is saved in runs/full; to go on: lydite train --resume runs/full --processes 2",
    ]
    assert run.stderr.count("error: ") == 1
    folder = place / "runs" / "full"
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert {json.loads(line)["step"] for line in (folder / "completions.jsonl").read_text().splitlines()} == {1, 2}

    assert lydite.train(resume=folder, display="none").summary["steps"] == 4
    assert_same_metrics(folder, one)


def test_what_is_finished_is_saved_when_a_process_is_lost_while_it_samples(
    place: Path, settings: dict[str, Any], one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    generate = HfEngine.generate

    def losing(engine: HfEngine, prompts: Any, sampling: Any, seed: int) -> Any:
        nonlocal calls
        calls += sampling.temperature > 0
        if calls == 4:
            raise ProcessError("process 0 of 2 has lost another one")
        return generate(engine, prompts, sampling, seed)

    monkeypatch.setattr(HfEngine, "generate", losing)
    with pytest.raises(ProcessError) as raised:
        lydite.train({**settings, "name": "lost"}, display="none")
    folder = place / "runs" / "lost"
    assert str(raised.value) == (
        "step 4: process 0 of 2 has lost another one\n"
        f"everything up to step 3 is saved in {folder}; to go on: lydite train --resume {folder}"
    )
    monkeypatch.undo()
    lydite.train(resume=folder, display="none")
    assert_same_metrics(folder, one)


def assert_same_metrics(run: Path, whole: Path) -> None:
    mine, expected = (
        [json.loads(line) for line in (one / "metrics.jsonl").read_text().splitlines()] for one in (run, whole)
    )
    assert len(mine) == len(expected) == 4
    for row, wanted in zip(mine, expected, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4, abs=1e-5)

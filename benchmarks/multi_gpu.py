"""Whole GRPO steps in one process and in several, one GPU each: how much more they get done in the same time.

    python -m benchmarks.multi_gpu --model q15 --processes 1,2 --json benchmarks/results/multi-gpu.jsonl

Random weights, an adapter of rank 16 on every linear layer, a random reward, completions of full length. Each number
of processes is measured twice: with `strong` scaling they share out the step that one alone makes, with `weak` the step
grows with them. The bar for two GPUs is 1.8 times the completions per second (weak).

Each arm is a run of its own. A step is printed as soon as it is done, a line of results written as soon as its arm is;
an arm that fails, or runs out of its time, leaves the steps it made, and the next one begins. `--budget` ends all of
them: on a machine that is there for minutes, what comes first is what matters. `--tiny` tries it without a GPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.gpu import ours
from benchmarks.gpu.arms import default_models
from benchmarks.gpu.make import make_model, model_folder
from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import commit, versions, write_line
from benchmarks.gpu.shapes import SHAPES

BAR: Final = 1.8
LOOK_AGAIN: Final = 0.2  # seconds between looks at the steps of an arm
_PARTS: Final = ("time/generate", "time/score", "time/train", "between/wait", "between/exchange", "between/gradients")


@dataclass(frozen=True, slots=True)
class Arm:
    """One run."""

    processes: int
    scaling: Literal["alone", "strong", "weak"]

    def sequences(self, given: argparse.Namespace) -> int:
        """Completions of a step."""
        return int(given.sequences) * (self.processes if self.scaling == "weak" else 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """What an arm came to."""

    timings: list[dict[str, float]]
    """Its steps by the run's own clock, warm-up included."""
    between: dict[str, float]
    """What goes between the processes, timed by itself."""
    start: float | None
    """Seconds from its beginning to the end of its first step."""
    failed: str | None


def main() -> None:
    """Measures each arm, and writes a line for each."""
    given = _given()
    begun = time.monotonic()
    _make(given)
    counts = [int(one) for one in given.processes.split(",")]
    kinds = given.scaling.split(",")
    arms = [Arm(count, kind) for kind in kinds for count in counts if count > 1]
    alone: dict[str, Any] | None = None
    for arm in [*([Arm(1, "alone")] if 1 in counts else []), *arms]:
        left = given.budget - (time.monotonic() - begun)
        print(f"{arm.scaling}, {arm.processes} processes: {left:.0f} s left", flush=True)
        line = _line(given, arm, _measured(given, arm, min(left, given.limit)), alone)
        alone = line if arm.processes == 1 else alone
        write_line(given.json, line)
        shown = ("processes", "step_s", "parts_s", "completions_per_second", "ratio", "ratio_of_parts", "failed")
        print(json.dumps({name: line[name] for name in shown}), flush=True)


def _make(given: argparse.Namespace) -> None:
    """Writes the model in a process of its own, whose memory on the GPU is free again when the first arm begins."""
    device = "cpu" if given.tiny else "cuda"
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as other:
        folder = model_folder(given.models, given.model)
        other.submit(make_model, SHAPES[given.model], folder, device=device).result()


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="q15")
    parser.add_argument("--quantization", choices=("nf4", "none"), default="none")
    parser.add_argument("--strategy", choices=("ddp", "fsdp2"), default="ddp")
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm")
    parser.add_argument("--processes", default="1,2", help="numbers of processes, separated by commas")
    parser.add_argument("--scaling", default="weak,strong", help="weak, strong or both; the first is measured first")
    parser.add_argument("--sequences", type=int, default=256, help="completions of a step of one process")
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=512, help="tokens of a completion")
    parser.add_argument("--micro-batch", type=int, default=16, help="completions of one forward pass")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=4, help="steps that do")
    parser.add_argument("--budget", type=float, default=1500.0, help="seconds for everything")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds for one arm")
    parser.add_argument("--models", type=Path, default=default_models(), help="folder for random models")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    parser.add_argument("--tiny", action="store_true", help="a toy model and few tokens")
    given = parser.parse_args()
    if given.tiny:
        given.model, given.engine, given.sequences, given.prompt, given.new = "tiny", "hf", 16, 16, 8
        given.micro_batch, given.group = 4, 4
    return given


def _measured(given: argparse.Namespace, arm: Arm, limit: float) -> Measured:
    """Runs the arm for at most so many seconds, and prints its steps as they are done."""
    with tempfile.TemporaryDirectory(prefix="lydite-multi-gpu-") as place:
        config = ours.run_config(
            model_folder(given.models, given.model), output=Path(place), prompt=given.prompt, new=given.new,
            sequences=arm.sequences(given), group=given.group, micro_batch=given.micro_batch,
            steps=given.warm_up + given.repeats, quantization=given.quantization, engine={"use": given.engine},
        )  # fmt: skip
        config["distributed"] = {"strategy": given.strategy, "timeout": max(limit, 60.0)}
        written, log = Path(place) / "arm.json", Path(place) / "benchmark" / "timings.jsonl"
        written.write_text(json.dumps(config))
        command = [sys.executable, "-m", "benchmarks.gpu.several", str(written), str(arm.processes)]
        begun, first, failed = time.monotonic(), None, None
        seen: list[dict[str, float]] = []
        process = subprocess.Popen(command, start_new_session=True)
        try:
            while True:
                ended = process.poll()
                for step in _steps(log)[len(seen) :]:
                    seen.append(step)
                    first = first or time.monotonic() - begun
                    print(f"  step {len(seen)}: {step['step_time']:.3f} s", flush=True)
                if ended is not None:
                    failed = f"exit code {ended}" if ended else None
                    break
                if time.monotonic() - begun > limit:
                    failed = f"not done within {limit:.0f} s"
                    break
                time.sleep(LOOK_AGAIN)
        finally:
            _end(process)
        told = written.with_name("between.json")
        return Measured(seen, json.loads(told.read_text()) if told.exists() else {}, first, failed)


def _steps(log: Path) -> list[dict[str, float]]:
    """The steps that are done; a line that is half there is left for later."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what still runs: a launcher that is told to end ends its processes, in a time that it knows."""
    for number, seconds in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def _line(given: argparse.Namespace, arm: Arm, measured: Measured, alone: dict[str, Any] | None) -> dict[str, Any]:
    """The arm's line, as far as it got; ratios to the run in one process where there is one."""
    counted = measured.timings[given.warm_up :]
    seconds = [one["step_time"] for one in counted]
    parts = (
        {part.rpartition("/")[2]: _median([one.get(part, 0.0) for one in counted]) for part in _PARTS}
        if counted
        else {}
    )
    speed = arm.sequences(given) / statistics.median(seconds) if seconds else None
    ratio, of_parts = None, {}
    if alone is not None and alone["completions_per_second"] and speed:
        ratio = round(speed / alone["completions_per_second"], 3)
        share = arm.sequences(given) / given.sequences
        of_parts = {
            part: round(share * alone["parts_s"][part] / took, 3)
            for part in ("generate", "train")
            if (took := parts[part])
        }
    return {
        "case": f"step, LoRA, {SHAPES[given.model].like} shapes, {arm.scaling} scaling, {given.strategy}",
        "processes": arm.processes,
        "sequences": arm.sequences(given),
        "step_s": _median(seconds),
        "spread": [round(min(seconds), 4), round(max(seconds), 4)] if seconds else None,
        "repeats": len(seconds),
        "parts_s": parts,
        "between": measured.between,
        "start_s": None if measured.start is None else round(measured.start, 1),
        "completions_per_second": None if speed is None else round(speed, 3),
        "new_tokens_per_second": None if speed is None else round(speed * given.new, 1),
        "ratio": ratio,
        "ratio_of_parts": of_parts,
        "bar": BAR if arm.processes == 2 and arm.scaling == "weak" and not given.tiny else None,
        "failed": measured.failed,
        "device": f"{arm.processes} x {device_name()}",
        "versions": versions(),
        "commit": commit(),
        "command": " ".join(["python -m benchmarks.multi_gpu", *sys.argv[1:]]),
        "config": {name: value for name, value in vars(given).items() if name not in ("json", "models")},
    }


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 5) if values else None


if __name__ == "__main__":
    main()

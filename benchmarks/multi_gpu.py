"""Whole GRPO steps in one process and in several, one GPU each: how much more they get done in the same time.

    python -m benchmarks.multi_gpu --model q15 --processes 1,2 --json benchmarks/results/multi-gpu.jsonl

Random weights, an adapter of rank 16 on every linear layer, a random reward, completions of full length. `--scaling
weak`, the default, gives each process the work that one alone has: a step of two has twice the groups. With `strong`
the step stays as it is, and is shared out. The bar for two GPUs is 1.8 times the completions per second (weak).
`--tiny` tries it without a GPU, on a toy model.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu import ours
from benchmarks.gpu.arms import default_models
from benchmarks.gpu.make import make_model, model_folder
from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import commit, versions, write_line
from benchmarks.gpu.shapes import SHAPES
from benchmarks.gpu.steps import coin_of

LIMIT: Final = 1200
"""Seconds that a run may take."""


def main() -> None:
    """Measures each number of processes, and writes a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="q15")
    parser.add_argument("--quantization", choices=("nf4", "none"), default="none")
    parser.add_argument("--strategy", choices=("ddp", "fsdp2"), default="ddp")
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm")
    parser.add_argument("--processes", default="1,2", help="numbers of processes, separated by commas")
    parser.add_argument("--scaling", choices=("weak", "strong"), default="weak")
    parser.add_argument("--sequences", type=int, default=256, help="completions of a step of one process")
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--prompt", type=int, default=256, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=512, help="tokens of a completion")
    parser.add_argument("--micro-batch", type=int, default=16, help="completions of one forward pass")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=4, help="steps that do")
    parser.add_argument("--models", type=Path, default=default_models(), help="folder for random models")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    parser.add_argument("--tiny", action="store_true", help="a toy model and few tokens")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        _train(json.loads(given.train.read_text()))
        return
    if given.tiny:
        given.model, given.engine, given.sequences, given.prompt, given.new = "tiny", "hf", 16, 16, 8
        given.micro_batch = 4
    device = "cpu" if given.tiny else "cuda"
    make_model(SHAPES[given.model], model_folder(given.models, given.model), device=device)
    counts = [int(one) for one in given.processes.split(",")]
    alone: float | None = None
    for count in counts:
        timings = _measured(given, count)[given.warm_up :]
        line = _line(given, count, timings, alone)
        alone = line["completions_per_second"] if count == 1 else alone
        print(json.dumps({name: line[name] for name in ("processes", "step_s", "completions_per_second", "ratio")}))
        write_line(given.json, line)


def _measured(given: argparse.Namespace, count: int) -> list[dict[str, float]]:
    """What the run's steps took, by its own clock: a line of `timings.jsonl` each."""
    from lydite.distributed import launch

    sequences = given.sequences * (count if given.scaling == "weak" else 1)
    with tempfile.TemporaryDirectory(prefix="lydite-multi-gpu-") as place:
        config = ours.run_config(
            model_folder(given.models, given.model), output=Path(place), prompt=given.prompt, new=given.new,
            sequences=sequences, group=given.group, micro_batch=given.micro_batch,
            steps=given.warm_up + given.repeats, quantization=given.quantization, engine={"use": given.engine},
        )  # fmt: skip
        config["distributed"] = {"strategy": given.strategy}
        written = Path(place) / "config.json"
        written.write_text(json.dumps(config))
        arguments = ["--train", str(written)]
        if count == 1:
            subprocess.run([sys.executable, "-m", "benchmarks.multi_gpu", *arguments], check=True, timeout=LIMIT)
        elif launch(count, arguments, module="benchmarks.multi_gpu"):
            raise SystemExit(f"the run in {count} processes failed")
        lines = (Path(place) / "benchmark" / "timings.jsonl").read_text().splitlines()
        shutil.rmtree(Path(place) / "benchmark")
    return [json.loads(line) for line in lines]


def _train(config: dict[str, Any]) -> None:
    """One process of the run."""
    from lydite.cli import set_environment
    from lydite.cli.processes import take_own_gpu
    from lydite.config import RunConfig

    set_environment(os.environ)
    logging.basicConfig(level=logging.WARNING)
    rewards = {"coin": coin}
    take_own_gpu(RunConfig.model_validate(config))
    import lydite

    # What is shared out is loaded by the run itself; else no answer ends before its time.
    whole = config["distributed"]["strategy"] == "ddp"
    policy = ours.load(Path(config["model"]["path"]), config["model"]["quantization"]) if whole else None
    lydite.train(config, rewards=rewards, policy=policy, display="none")


def coin(text: str) -> float:
    """A random reward, decided by the text."""
    return coin_of(text)


def _line(
    given: argparse.Namespace, count: int, timings: list[dict[str, float]], alone: float | None
) -> dict[str, Any]:
    sequences = given.sequences * (count if given.scaling == "weak" else 1)
    seconds = [one["step_time"] for one in timings]
    speed = sequences / statistics.median(seconds)
    shown = {name: value for name, value in vars(given).items() if name not in ("json", "models", "train")}
    return {
        "case": f"step, LoRA, {SHAPES[given.model].like} shapes, {given.scaling} scaling, {given.strategy}",
        "processes": count,
        "step_s": round(statistics.median(seconds), 4),
        "spread": [round(min(seconds), 4), round(max(seconds), 4)],
        "parts_s": {
            part: round(statistics.median(one.get(f"time/{part}", 0.0) for one in timings), 4)
            for part in ("generate", "score", "train")
        },
        "completions_per_second": round(speed, 3),
        "new_tokens_per_second": round(speed * given.new, 1),
        "ratio": None if alone is None else round(speed / alone, 3),
        "bar": 1.8 if count == 2 and given.scaling == "weak" else None,
        "device": f"{count} x {device_name()}",
        "versions": versions(),
        "commit": commit(),
        "command": " ".join(["python -m benchmarks.multi_gpu", *sys.argv[1:]]),
        "config": shown,
    }


if __name__ == "__main__":
    main()

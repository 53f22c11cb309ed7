"""How far SmolLM2-135M learns in 300 steps: held-out accuracy, reward, seconds, and tokens per second of two tasks.

    LYDITE_SMOLLM2=FOLDER python -m benchmarks.learn --json benchmarks/results/learn-h100.jsonl

`lydite train` on the examples as they are, but for what `SETTINGS` changes. `LYDITE_SMOLLM2` names the folder that
holds the model's GGUF file; without it, the installed package with the model is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import Writer, write_line

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
TASKS: Final = {"arithmetic": "arithmetic.toml", "reasoning-gym": "reasoning-gym.toml"}
# A fast GPU takes about as long for a step of the examples' 64 completions as for one of 128, which steadies 300
# steps at the examples' learning rate. Evaluations and checkpoints are rarer, to keep a task under four minutes.
SETTINGS: Final = {
    "train.per_device_train_batch_size": 128,
    "train.warmup_steps": 5,
    "train.save_steps": 150,
    "eval.every": 20,
}
LYDITE: Final = (sys.executable, "-c", "import sys; from lydite.cli import main; sys.exit(main())")
CURVE_STEPS: Final = 10
"""Steps that one point of the reward's curve is the mean of."""


def main() -> None:
    """Trains each task that is asked for, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {', '.join(TASKS)}; separated by commas")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--quantization", choices=("none", "nf4"), default="none")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of lydite train")
    parser.add_argument("--seconds", type=int, default=270, help="a task is ended after this long")
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs; without it they are thrown away")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    given = parser.parse_args()
    failed = [task for task in given.tasks.split(",") if not _learn(task, given)]
    if failed:
        raise SystemExit(f"did not come to an end: {', '.join(failed)}")


def _learn(task: str, given: argparse.Namespace) -> bool:
    """Trains, and writes what there is even of a run that did not come to its end."""
    changes = {
        **SETTINGS, "train.max_steps": given.steps, "engine.use": given.engine,
        "model.quantization": given.quantization,
    }  # fmt: skip
    settings = [f"{key}={value}" for key, value in changes.items()] + given.set
    places = [f"model.path={folder}"] if (folder := os.environ.get("LYDITE_SMOLLM2")) else []
    with tempfile.TemporaryDirectory(prefix="lydite-learn-") as thrown_away:
        output = str(given.runs or thrown_away)
        asked = [*LYDITE, "train", str(EXAMPLES / TASKS[task]), "--name", task, "--overwrite"]
        for one in (*settings, *places, f"output_dir={output}"):
            asked += ["--set", one]
        begun = time.perf_counter()
        try:
            ended = subprocess.run(asked, timeout=given.seconds, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            ended = False
        wall = time.perf_counter() - begun
        model = "LoRA on bf16" if given.quantization == "none" else "QLoRA nf4"
        writer = Writer(
            arm=f"lydite {given.engine}",
            ours=True,
            case=f"{task}, {given.steps} steps, {given.engine} engine, {model}",
            command=f"lydite train examples/{TASKS[task]} " + " ".join(f"--set {one}" for one in settings),
            device=device_name(),
            config=changes,
            path=given.json,
            terminal=sys.stdout,
        )
        if ended or (Path(output) / task / "timings.jsonl").is_file():
            _write(Path(output) / task, writer, wall, given)
        if not ended:
            write_line(given.json, {"case": writer.case, "failed": f"no end after {wall:.0f} s"})
        return ended


def _write(run: Path, writer: Writer, wall: float, given: argparse.Namespace) -> None:
    evals, metrics, timings = (_lines(run / f"{name}.jsonl") for name in ("evals", "metrics", "timings"))
    curve = {str(one["step"]): round(one["value"], 4) for one in evals}
    count = f"share of {evals[0]['n']}"
    writer.figure("heldout accuracy, first", count, [evals[0]["value"]])
    writer.figure("heldout accuracy, best", count, [max(one["value"] for one in evals)])
    writer.figure("heldout accuracy, last", count, [evals[-1]["value"]], curve=curve, steps=len(metrics))
    rewards = [one["reward"] for one in metrics]
    points = {
        str(place + len(part)): round(statistics.mean(part), 4)
        for place in range(0, len(rewards), CURVE_STEPS)
        if (part := rewards[place : place + CURVE_STEPS])
    }
    writer.figure("reward, mean of the last steps", "reward", [list(points.values())[-1]], curve=points)
    gaps = [one["sampling/sampling_logp_difference/mean"] for one in metrics]
    writer.figure("sampling/sampling_logp_difference/mean", "nats", gaps)
    writer.figure("whole run, start and report included", "s", [wall])
    writer.figure("training", "s", [sum(one["step_time"] for one in timings)])
    plain = [one["step_time"] for one in timings if "time/eval" not in one]
    writer.figure("step without evaluation", "s", plain)
    for name in ("generate", "train", "score"):
        writer.figure(f"{name} of a step", "s", [one[f"time/{name}"] for one in timings])
    writer.figure("sampling", "tokens/s", [one["tokens_per_second"] for one in timings])
    writer.figure("peak memory reserved by torch", "bytes", [max(one["memory/peak_bytes"] for one in timings)])


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main()

"""How far SmolLM2-135M learns in 300 steps: held-out accuracy, reward, seconds, and tokens per second of two tasks.

    LYDITE_SMOLLM2=FOLDER python -m benchmarks.learn --json benchmarks/results/learn-h100.jsonl
    LYDITE_SMOLLM2=FOLDER python -m benchmarks.learn --plain --seeds 0,1,2 --json benchmarks/results/learn-h100.jsonl

`lydite train` on the examples as they are, but for what `SETTINGS` changes. `LYDITE_SMOLLM2` names the folder that
holds the model's GGUF file; without it, the installed package with the model is taken. `--plain` trains each once
more with what makes the step fast switched off, and sets the accuracies of all seeds beside each other.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import Writer, commit, versions, write_line

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
# The step as it is without kernels, packing and shared prompts.
PLAIN: Final = {"train.share_prompts": "false", "train.gradient_checkpointing": "true"}
PLAIN_ENVIRONMENT: Final = {"LYDITE_KERNELS": "off"}
LYDITE: Final = (sys.executable, "-c", "import sys; from lydite.cli import main; sys.exit(main())")
CURVE_STEPS: Final = 10
"""Steps that one point of the reward's curve is the mean of."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training."""

    task: str
    plain: bool
    seed: int | None
    """None: the example's own."""

    @property
    def name(self) -> str:
        """Of its folder."""
        parts = [self.task, *(["plain"] if self.plain else []), *([] if self.seed is None else [str(self.seed)])]
        return "-".join(parts)


def main() -> None:
    """Trains each task that is asked for, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {', '.join(TASKS)}; separated by commas")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--engine", default="vllm")
    parser.add_argument("--quantization", choices=("none", "nf4"), default="none")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of lydite train")
    parser.add_argument("--seeds", default="", help="separated by commas; without it each example's own")
    parser.add_argument(
        "--plain", nargs="?", const="also", choices=("also", "only"),
        help="train with everything that makes the step fast switched off, besides or only",
    )  # fmt: skip
    parser.add_argument("--seconds", type=int, default=270, help="a task is ended after this long")
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs; without it they are thrown away")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    given = parser.parse_args()
    seeds: list[int | None] = [int(one) for one in given.seeds.split(",") if one] or [None]
    ways = {None: (False,), "also": (False, True), "only": (True,)}[given.plain]
    failed = []
    for task in given.tasks.split(","):
        accuracies: dict[bool, list[float]] = {False: [], True: []}
        for seed in seeds:  # the two ways of a seed one after the other: what is cut short has whole pairs
            for plain in ways:
                run = Run(task, plain, seed)
                accuracy = _learn(run, given)
                if accuracy is None:
                    failed.append(run.name)
                else:
                    accuracies[plain].append(accuracy)
        if all(len(accuracies[way]) == len(seeds) for way in (False, True)):
            _compare(task, accuracies, seeds, given)
    if failed:
        raise SystemExit(f"did not come to an end: {', '.join(failed)}")


def _compare(task: str, accuracies: dict[bool, list[float]], seeds: list[Any], given: argparse.Namespace) -> None:
    """A line with the accuracy of both ways, the mean over the seeds."""
    fast, plain = (statistics.mean(accuracies[way]) for way in (False, True))
    line = {
        "case": f"{task}, {given.steps} steps, {given.engine} engine, {_model(given)}, {len(seeds)} seeds",
        "metric": "heldout accuracy, last, mean of seeds", "unit": "share", "ours": round(fast, 4),
        "peer": round(plain, 4), "peer_name": "lydite, everything off",
        "ratio": round(fast / plain, 4) if plain else None,
        "spread": [min(accuracies[False]), max(accuracies[False])],
        "peer_spread": [min(accuracies[True]), max(accuracies[True])], "repeats": len(seeds),
        "device": device_name(), "versions": versions(), "commit": commit(),
        "command": f"python -m benchmarks.learn --tasks {task} --steps {given.steps} --engine {given.engine} "
        f"--quantization {given.quantization} --plain --seeds {given.seeds}",
        "config": {"seeds": seeds, "fast": accuracies[False], "plain": accuracies[True]},
    }  # fmt: skip
    write_line(given.json, line)
    print(f"{task}: {fast:.3f} with everything on, {plain:.3f} with everything off, {len(seeds)} seeds", flush=True)


def _model(given: argparse.Namespace) -> str:
    return "LoRA on bf16" if given.quantization == "none" else "QLoRA nf4"


def _learn(run: Run, given: argparse.Namespace) -> float | None:
    """Trains, and writes what there is even of a run that did not come to its end; the last held-out accuracy."""
    task = run.task
    changes = {
        **SETTINGS, "train.max_steps": given.steps, "engine.use": given.engine,
        "model.quantization": given.quantization,
        **(PLAIN if run.plain else {}), **({} if run.seed is None else {"seed": run.seed}),
        **dict(one.split("=", 1) for one in given.set),
    }  # fmt: skip
    settings = [f"{key}={value}" for key, value in changes.items()]
    places = [f"model.path={folder}"] if (folder := os.environ.get("LYDITE_SMOLLM2")) else []
    environment = {**os.environ, **(PLAIN_ENVIRONMENT if run.plain else {})}
    with tempfile.TemporaryDirectory(prefix="lydite-learn-") as thrown_away:
        output = str(given.runs or thrown_away)
        asked = [*LYDITE, "train", str(EXAMPLES / TASKS[task]), "--name", run.name, "--overwrite"]
        for one in (*settings, *places, f"output_dir={output}"):
            asked += ["--set", one]
        begun = time.perf_counter()
        try:
            ended = subprocess.run(asked, timeout=given.seconds, check=False, env=environment).returncode == 0
        except subprocess.TimeoutExpired:
            ended = False
        wall = time.perf_counter() - begun
        writer = Writer(
            arm=f"lydite {given.engine}{' plain' if run.plain else ''}",
            ours=True,
            case=f"{task}, {given.steps} steps, {given.engine} engine, {_model(given)}"
            + (", everything off" if run.plain else "")
            + ("" if run.seed is None else f", seed {run.seed}"),
            command=("LYDITE_KERNELS=off " if run.plain else "")
            + f"lydite train examples/{TASKS[task]} "
            + " ".join(f"--set {one}" for one in settings),
            device=device_name(),
            config=changes,
            path=given.json,
            terminal=sys.stdout,
        )
        accuracy = None
        if ended or (Path(output) / run.name / "timings.jsonl").is_file():
            accuracy = _write(Path(output) / run.name, writer, wall)
        if not ended:
            write_line(given.json, {"case": writer.case, "failed": f"no end after {wall:.0f} s"})
        return accuracy if ended else None


def _write(run: Path, writer: Writer, wall: float) -> float:
    """Writes the run's figures; its last held-out accuracy."""
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
    return float(evals[-1]["value"])


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    main()

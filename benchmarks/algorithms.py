"""How far SmolLM2-135M learns under each algorithm: held-out accuracy before, after and at its best, on two tasks.

    LYDITE_SMOLLM2=FOLDER python -m benchmarks.algorithms --json benchmarks/results/algorithms-cpu.jsonl
    LYDITE_SMOLLM2=FOLDER python -m benchmarks.algorithms --engine vllm --steps 200 --seeds 0,1,2 --json FILE

`lydite train` on the examples as they are, with the algorithm and what `SETTINGS` says of it: one line of results for
each task, algorithm and seed. `LYDITE_SMOLLM2` names the folder that holds the model's GGUF file; without it, the
installed package with the model is taken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import commit, versions, write_line

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
TASKS: Final = {"arithmetic": "arithmetic.toml", "reasoning-gym": "reasoning-gym.toml"}
# The examples' learning rate of 3e-4 is GRPO's, and Adam makes it do for the other two ratios. Penalties are small
# beside a reward of 1: a few nats from the start should not cost what a right answer earns. DPO pushes on as long
# as the worse completion is likely, so that it learns with less.
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "grpo": {},
    "rloo": {"rloo.beta": 0.01},
    "online_dpo": {"online_dpo.beta": 0.05, "online_dpo.pairs": "ranked", "train.learning_rate": 2e-4},
    "ppo": {"ppo.kl_coef": 0.01, "train.num_iterations": 2},
}
LYDITE: Final = (sys.executable, "-c", "import sys; from lydite.cli import main; sys.exit(main())")
CURVE_STEPS: Final = 5
"""Steps that one point of the reward's curve is the mean of."""


def main() -> None:
    """Trains each task under each algorithm, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {', '.join(TASKS)}; separated by commas")
    parser.add_argument("--algorithms", default=",".join(SETTINGS), help="separated by commas")
    parser.add_argument("--steps", type=int, help="without it as many as the example has")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of lydite train")
    parser.add_argument("--seeds", default="", help="separated by commas; without it each example's own")
    parser.add_argument("--seconds", type=int, help="a run is ended after this long")
    parser.add_argument("--runs", type=Path, help="folder that keeps the runs; without it they are thrown away")
    parser.add_argument("--json", type=Path, help="file that lines of results are appended to")
    given = parser.parse_args()
    seeds: list[int | None] = [int(one) for one in given.seeds.split(",") if one] or [None]
    failed = [
        f"{task} {algorithm} {'' if seed is None else seed}".strip()
        for seed in seeds
        for task in given.tasks.split(",")
        for algorithm in given.algorithms.split(",")
        if not _learn(task, algorithm, seed, given)
    ]
    if failed:
        raise SystemExit(f"did not come to an end: {', '.join(failed)}")


def _learn(task: str, algorithm: str, seed: int | None, given: argparse.Namespace) -> bool:
    """Trains, and writes a line even of a run that did not come to its end; True when it did."""
    changes: dict[str, Any] = {
        "algorithm": algorithm, **SETTINGS[algorithm], "engine.use": given.engine, "model.device": given.device,
        **({} if given.steps is None else {"train.max_steps": given.steps}),
        **({} if seed is None else {"seed": seed}),
    }  # fmt: skip
    settings = [f"{key}={value}" for key, value in changes.items()] + given.set
    places = [f"model.path={folder}"] if (folder := os.environ.get("LYDITE_SMOLLM2")) else []
    name = "-".join([task, algorithm, *([] if seed is None else [str(seed)])])
    with tempfile.TemporaryDirectory(prefix="lydite-algorithms-") as thrown_away:
        output = str(given.runs or thrown_away)
        asked = [*LYDITE, "train", str(EXAMPLES / TASKS[task]), "--name", name, "--overwrite"]
        for one in (*settings, *places, f"output_dir={output}"):
            asked += ["--set", one]
        begun = time.perf_counter()
        try:
            ended = subprocess.run(asked, timeout=given.seconds, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            ended = False
        line = {
            "case": f"{task}, {algorithm}" + ("" if seed is None else f", seed {seed}"),
            "task": task, "algorithm": algorithm, "ended": ended, "seconds": round(time.perf_counter() - begun, 1),
            **_figures(Path(output) / name),
            "device": device_name(), "versions": versions(), "commit": commit(),
            "command": f"lydite train examples/{TASKS[task]} " + " ".join(f"--set {one}" for one in settings),
        }  # fmt: skip
    write_line(given.json, line)
    heldout = line["heldout"]
    print(
        f"{line['case']}: held-out {heldout['first']} to {heldout['last']}, best {heldout['best']} "
        f"at step {heldout['best_step']}, {line['steps']} steps in {line['seconds']} s",
        flush=True,
    )
    return ended


def _figures(run: Path) -> dict[str, Any]:
    """What a run has come to: its held-out accuracy, its reward, and what a step takes."""
    evals, metrics, timings = (_lines(run / f"{name}.jsonl") for name in ("evals", "metrics", "timings"))
    best = max(evals, key=lambda one: float(one["value"]), default=None)
    rewards = [one["reward"] for one in metrics]
    points = [rewards[place : place + CURVE_STEPS] for place in range(0, len(rewards), CURVE_STEPS)]
    return {
        "steps": len(metrics),
        "heldout": {
            "metric": evals[0]["metric"] if evals else None,
            "n": evals[0]["n"] if evals else 0,
            "first": evals[0]["value"] if evals else None,
            "last": evals[-1]["value"] if evals else None,
            "best": best["value"] if best else None,
            "best_step": best["step"] if best else None,
            "curve": {str(one["step"]): round(one["value"], 4) for one in evals},
        },
        "reward": [round(sum(part) / len(part), 4) for part in points],
        "step_seconds": round(sum(one["step_time"] for one in timings) / len(timings), 3) if timings else None,
        "train_seconds": round(sum(one["time/train"] for one in timings) / len(timings), 3) if timings else None,
    }


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


if __name__ == "__main__":
    main()

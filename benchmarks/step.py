"""Seconds and memory of a whole GRPO step: lydite, lydite on a small card, and TRL by its documented QLoRA recipe.

    python -m benchmarks.step --model q15 --json raw.jsonl
    python -m benchmarks.step --join raw.jsonl --json benchmarks/results/step.jsonl

Random weights in 4 bit, an adapter of rank 16 on every linear layer, groups of 8, every completion `--new` tokens
long, a random reward. Each arm is a process of its own; `benchmarks/gpu/README.md` says what is needed.
"""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks.gpu.arms import Arm, add_arguments, run
from benchmarks.gpu.rollouts import make
from benchmarks.gpu.shapes import SHAPES
from benchmarks.gpu.steps import lydite
from benchmarks.gpu.trl_steps import trl

LOGGED = {"VLLM_LOGGING_LEVEL": "INFO", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
ARMS = {
    "make": Arm(make, ours=True, seconds=180),
    "lydite": Arm(partial(lydite, profile="even"), True, 300, LOGGED),
    "lydite-small": Arm(partial(lydite, profile="small"), True, 400, LOGGED),
    "lydite-fast": Arm(partial(lydite, profile="fast"), True, 300, LOGGED),
    "trl": Arm(trl, False, 400, LOGGED),
}


def main() -> None:
    """Runs the arms that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="q15")
    parser.add_argument("--sequences", type=int, default=32, help="completions of a step")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=512, help="tokens of a completion")
    parser.add_argument("--micro-batch", type=int, default=8, help="completions of one forward pass")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=4, help="steps that do")
    parser.add_argument("--card", type=float, default=5.0, help="GiB of the card that lydite-small finds")
    parser.add_argument("--trl-memory", type=float, default=0.15, help="TRL's vllm_gpu_memory_utilization")
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm", help="lydite's engine")
    add_arguments(parser, ARMS, ",".join(ARMS))
    given = parser.parse_args()
    if given.tiny:
        given.model, given.sequences, given.prompt, given.new = "tiny", 16, 16, 8
    case = (
        f"step, QLoRA, {SHAPES[given.model].like} shapes, {given.sequences} x {given.new} tokens after {given.prompt}, "
        f"micro-batch {given.micro_batch}"
    )
    config = {
        "model": given.model, "sequences": given.sequences, "prompt": given.prompt, "new": given.new,
        "micro_batch": given.micro_batch, "group": 8, "lora": "r=16 on all linear layers",
    }  # fmt: skip
    run(given, ARMS, case, config)


if __name__ == "__main__":
    main()

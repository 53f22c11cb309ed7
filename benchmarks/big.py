"""Whether one GRPO step of a 70B model runs in 48 GiB, what it takes, and how long: QLoRA, one GPU.

    python -m benchmarks.big --json benchmarks/results/step-h100.jsonl

The shapes of Llama-3.1-70B with random weights, made in NF4 matrix by matrix on the GPU: they are in 16 bit nowhere. A
process beside it holds all of the GPU but `--card` GiB, and torch may not take more than that either, so that on a
larger GPU it is out of memory where a card of 48 GiB would be.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.gpu import ours, steps
from benchmarks.gpu.arms import Arm, add_arguments, run
from benchmarks.gpu.ballast import take_no_more_than
from benchmarks.gpu.results import Writer
from benchmarks.gpu.trace import add_option
from benchmarks.gpu.work import shape_of


def lydite(given: argparse.Namespace, writer: Writer) -> None:
    """Whole steps within the limit."""

    def load(folder: Path) -> Any:
        take_no_more_than(given.card)
        return ours.load_packed(shape_of(given), folder)

    steps.lydite(given, writer, profile="big", load=load)


ARMS = {"lydite": Arm(lydite, True, 590, {"VLLM_LOGGING_LEVEL": "INFO", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"})}


def main() -> None:
    """Runs it, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--card", type=float, default=48.0, help="GiB of the card")
    parser.add_argument("--sequences", type=int, default=16, help="completions of a step")
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=128, help="tokens of a completion")
    parser.add_argument("--warm-up", type=int, default=1, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=1, help="steps that do")
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm")
    add_option(parser)
    add_arguments(parser, ARMS, ",".join(ARMS))
    given = parser.parse_args()
    given.model, given.ragged, given.micro_batch = "l70", False, 4
    if given.tiny:
        given.model, given.prompt, given.new = "tiny", 16, 8
    case = (
        f"step, QLoRA, {shape_of(given).like} shapes on a card of {given.card:g} GiB, {given.sequences} x {given.new} "
        f"tokens after {given.prompt}"
    )
    config = {
        "model": given.model, "sequences": given.sequences, "prompt": given.prompt, "new": given.new,
        "group": given.group, "card": given.card, "lora": "r=16 on all linear layers",
    }  # fmt: skip
    run(given, ARMS, case, config)


if __name__ == "__main__":
    main()

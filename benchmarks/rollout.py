"""Tokens per second, start, memory and adapter hand-over of lydite's engine beside vLLM's own and transformers.

    python -m benchmarks.rollout --model q15 --json raw.jsonl
    python -m benchmarks.rollout --join raw.jsonl --json benchmarks/results/rollout.jsonl

Random weights, prompts of `--prompt` random tokens in groups of 8, every completion `--new` tokens long, drawn at
temperature 1. Each arm is a process of its own; `benchmarks/gpu/README.md` says what is needed.
"""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks.gpu.arms import Arm, add_arguments, run
from benchmarks.gpu.handover import edited, fresh
from benchmarks.gpu.profiles import BURST
from benchmarks.gpu.ragged import ragged
from benchmarks.gpu.rollouts import lydite, make, stock_vllm, transformers_generate
from benchmarks.gpu.shapes import SHAPES

OWN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
IN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
LOGGED = {"VLLM_LOGGING_LEVEL": "INFO"}  # the parts of a start are read from vLLM's log

ARMS = {
    "make": Arm(make, ours=True, seconds=180),
    "lydite-unpacked": Arm(partial(lydite, unpack="always"), True, 240, LOGGED),
    "lydite-packed": Arm(partial(lydite, unpack="never"), True, 300, LOGGED),
    "lydite-bursts": Arm(partial(lydite, unpack="always", scheduler_steps=BURST), True, 240, LOGGED),
    "vllm-bf16-lora": Arm(partial(stock_vllm, lora=True), False, 300, LOGGED | IN_PROCESS),
    "vllm-bf16-lora-own-process": Arm(partial(stock_vllm, lora=True), False, 300, LOGGED | OWN_PROCESS),
    "vllm-bf16": Arm(stock_vllm, False, 240, LOGGED | IN_PROCESS),
    "vllm-bnb-lora": Arm(partial(stock_vllm, lora=True, quantization="bitsandbytes"), False, 360, LOGGED | IN_PROCESS),
    "hf": Arm(transformers_generate, False, 240),
    "ragged": Arm(ragged, True, 240, LOGGED),
    "edited": Arm(edited, True, 180, LOGGED),
    "fresh": Arm(fresh, True, 180, LOGGED),
}
DEFAULT = "make,lydite-unpacked,lydite-packed,vllm-bf16-lora,vllm-bnb-lora,vllm-bf16,hf,edited,fresh"


def main() -> None:
    """Runs the arms that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="q15")
    parser.add_argument("--sequences", type=int, default=256, help="completions that are made together")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=256, help="tokens of a completion")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--hf-sequences", type=int, default=64, help="completions of the arm hf")
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm", help="lydite's engine")
    parser.add_argument("--unpack", choices=("always", "never"), default="always", help="for ragged, edited and fresh")
    add_arguments(parser, ARMS, DEFAULT)
    given = parser.parse_args()
    if given.tiny:
        given.model, given.sequences, given.hf_sequences, given.prompt, given.new = "tiny", 16, 16, 16, 8
    case = f"rollout, {SHAPES[given.model].like} shapes, {given.sequences} x {given.new} tokens after {given.prompt}"
    config = {
        "model": given.model, "sequences": given.sequences, "prompt": given.prompt, "new": given.new,
        "temperature": 1.0, "lora": "r=16 on all linear layers",
    }  # fmt: skip
    run(given, ARMS, case, config)


if __name__ == "__main__":
    main()

"""Seconds and memory of a whole GRPO step: lydite by its profiles, TRL and Unsloth by their documented recipes.

    python -m benchmarks.step --model q15 --scenario M --json raw.jsonl
    python -m benchmarks.step --join raw.jsonl --json benchmarks/results/step.jsonl

Random weights in 4 bit, an adapter of rank 16 on every linear layer, a random reward. `--scenario` is S (prompts of
128 tokens, completions of 256, 32 x 8 of them), M (256, ragged up to 1,024, 32 x 8) or P (1,024, 256, 16 x 16); without
it groups of 8 and the sizes that are given. Each arm is a process of its own; `benchmarks/gpu/README.md` says what is
needed.
"""

from __future__ import annotations

import argparse
from functools import partial

from benchmarks.gpu.arms import Arm, add_arguments, run
from benchmarks.gpu.rollouts import make
from benchmarks.gpu.shapes import SHAPES
from benchmarks.gpu.steps import lydite
from benchmarks.gpu.trace import add_option
from benchmarks.gpu.trl_steps import trl
from benchmarks.gpu.unsloth_steps import unsloth
from benchmarks.gpu.work import SCENARIOS

LOGGED = {"VLLM_LOGGING_LEVEL": "INFO", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
ARMS = {
    "make": Arm(make, ours=True, seconds=180),
    "lydite": Arm(partial(lydite, profile="defaults"), True, 400, LOGGED),
    "lydite-small": Arm(partial(lydite, profile="small"), True, 500, LOGGED),
    "lydite-card": Arm(partial(lydite, profile="card"), True, 400, LOGGED),
    "lydite-card-compiled": Arm(partial(lydite, profile="card-compiled"), True, 500, LOGGED),
    "lydite-bursts": Arm(partial(lydite, profile="bursts"), True, 400, LOGGED),
    "lydite-card-recorded": Arm(partial(lydite, profile="card-recorded"), True, 400, LOGGED),
    "lydite-card-recorded-wide": Arm(partial(lydite, profile="card-recorded-wide"), True, 400, LOGGED),
    "lydite-card-bursts": Arm(partial(lydite, profile="card-bursts"), True, 400, LOGGED),
    "lydite-fast": Arm(partial(lydite, profile="fast"), True, 400, LOGGED),
    "lydite-plain": Arm(partial(lydite, profile="plain"), True, 500, LOGGED | {"LYDITE_KERNELS": "off"}),
    "trl": Arm(trl, False, 590, LOGGED),
    "unsloth": Arm(unsloth, False, 590, LOGGED | {"UNSLOTH_DISABLE_STATISTICS": "1"}),
}


def main() -> None:
    """Runs the arms that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="q15")
    parser.add_argument("--scenario", choices=SCENARIOS, help="sizes of a step; it decides the next four")
    parser.add_argument("--sequences", type=int, default=32, help="completions of a step")
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=512, help="tokens of a completion")
    parser.add_argument("--micro-batch", type=int, default=8, help="completions of one forward pass")
    parser.add_argument("--warm-up", type=int, default=2, help="steps that do not count")
    parser.add_argument("--repeats", type=int, default=4, help="steps that do")
    parser.add_argument(
        "--card", type=float, help="GiB of the card that lydite-small and -card... find; 5, for l8 11.5"
    )
    parser.add_argument(
        "--peer-memory",
        type=float,
        help="share of the GPU that TRL and Unsloth are told to give vLLM; 0.15, for l8 0.3",
    )
    add_option(parser)
    parser.add_argument("--engine", choices=("vllm", "hf"), default="vllm", help="lydite's engine")
    add_arguments(parser, ARMS, ",".join(ARMS))
    given = parser.parse_args()
    large = given.model == "l8"
    given.card = given.card or (11.5 if large else 5.0)
    given.peer_memory = given.peer_memory or (0.3 if large else 0.15)
    scenario = SCENARIOS.get(given.scenario)
    given.ragged = scenario is not None and scenario.ragged
    if scenario is not None:
        given.prompt, given.new, given.group = scenario.prompt, scenario.new, scenario.group
        given.sequences = scenario.groups * scenario.group
    if given.tiny:
        given.model, given.sequences, given.prompt, given.new = "tiny", 2 * given.group, 16, 8
    tokens = f"ragged {given.new}" if given.ragged else str(given.new)
    case = (
        f"step{f' {given.scenario}' if scenario else ''}, QLoRA, {SHAPES[given.model].like} shapes, "
        f"{given.sequences} x {tokens} tokens after {given.prompt}, micro-batch {given.micro_batch}"
    )
    config = {
        "model": given.model, "scenario": given.scenario, "sequences": given.sequences, "prompt": given.prompt,
        "new": given.new, "micro_batch": given.micro_batch, "group": given.group,
        "lora": "r=16 on all linear layers",
    }  # fmt: skip
    run(given, ARMS, case, config)


if __name__ == "__main__":
    main()

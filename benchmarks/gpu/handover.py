"""From a trained adapter to the engine's next token: how long it takes, and whether it is exact."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.make import write_adapter
from benchmarks.gpu.meter import Parts, now
from benchmarks.gpu.results import Writer

TIMES: Final = 20
"""Hand-overs of which the median is taken."""
METRIC: Final = "hand-over of an adapter"


def time_ours(engine: Any, policy: Any, writer: Writer) -> None:
    """`take_adapter`, the reset of the prefix cache included, with the GPU's queue waited for."""
    milliseconds = []
    for _ in range(TIMES):
        begun = now()
        engine.take_adapter(policy)
        milliseconds.append(1000 * (now() - begun))
    writer.figure(METRIC, "ms", milliseconds, tensors=len(policy.trainable()))


def time_stock(llm: Any, tensors: dict[str, Any], folder: Path, writer: Writer) -> None:
    """The way of vLLM itself: the adapter is saved to a folder in memory and loaded over the one of its number."""
    from vllm.lora.request import LoRARequest

    save, load, both = [], [], []
    for _ in range(TIMES):
        begun = now()
        write_adapter(folder, tensors)
        saved = now()
        # Only here: a request to generate that says so would load the file again at each step.
        llm.llm_engine.add_lora(LoRARequest("adapter", 1, str(folder), load_inplace=True))
        llm.reset_prefix_cache()
        ended = now()
        save.append(1000 * (saved - begun))
        load.append(1000 * (ended - saved))
        both.append(1000 * (ended - begun))
    shutil.rmtree(folder)
    writer.figure(METRIC, "ms", both, tensors=len(tensors), peer_name=f"{writer.arm}, save and load_inplace")
    writer.figure("hand-over of an adapter, saving", "ms", save)
    writer.figure("hand-over of an adapter, loading", "ms", load)


def edited(given: argparse.Namespace, writer: Writer) -> None:
    """Generates with one adapter, overwrites it in place with another, and generates again; keeps what came."""
    from benchmarks.gpu.ours import fill_adapter
    from benchmarks.gpu.rollouts import start_lydite

    policy, engine = start_lydite(given, Parts(), unpack=given.unpack)
    fill_adapter(policy, seed=1)
    before = _answers(given, policy, engine)
    fill_adapter(policy, seed=2)
    after = _answers(given, policy, engine)
    folder = _folder(given)
    folder.mkdir(parents=True, exist_ok=True)
    policy.save_adapter(folder)
    (folder / "answers.json").write_text(json.dumps({"before": before, "after": after, "hash": policy.adapter_hash()}))
    writer.figure("tokens changed by the other adapter", "share", [1 - _same(before, after, "tokens")])


def fresh(given: argparse.Namespace, writer: Writer) -> None:
    """Another process, whose engine never knew another adapter than the saved one: the same answers?"""
    from benchmarks.gpu.rollouts import start_lydite
    from safetensors.torch import load_file

    folder = _folder(given)
    kept = json.loads((folder / "answers.json").read_text())
    policy, engine = start_lydite(given, Parts(), unpack=given.unpack)
    saved = load_file(folder / "adapter_model.safetensors")
    policy.load_adapter_state({name: saved[name.replace(".default.", ".")] for name in policy.trainable()})
    if policy.adapter_hash() != kept["hash"]:
        raise SystemExit("the adapter that was read is not the one that was saved")
    answers = _answers(given, policy, engine)
    gap = max(
        abs(one - other)
        for mine, theirs in zip(answers["logps"], kept["after"]["logps"], strict=True)
        for one, other in zip(mine, theirs, strict=True)
    )
    writer.figure("edited in place against loaded: same tokens", "share", [_same(answers, kept["after"], "tokens")])
    writer.figure("edited in place against loaded: same log-probs, bit for bit", "share", [
        _same(answers, kept["after"], "logps")
    ])  # fmt: skip
    writer.figure("edited in place against loaded: greatest difference of log-probs", "nats", [gap])


def _answers(given: argparse.Namespace, policy: Any, engine: Any) -> dict[str, Any]:
    from benchmarks.gpu.rollouts import GROUP, lydite_prompts

    from lydite.rollout import Sampling

    engine.take_adapter(policy)
    rollouts = engine.generate(lydite_prompts(given, 7), Sampling(GROUP, given.new), 7)
    made = [one for rollout in rollouts for one in rollout.completions]
    return {"tokens": [list(one.token_ids) for one in made], "logps": [list(one.logps) for one in made]}


def _same(one: dict[str, Any], other: dict[str, Any], what: str) -> float:
    """The share of tokens, or of their log-probabilities, that are equal."""
    pairs = [
        (first, second)
        for mine, theirs in zip(one[what], other[what], strict=True)
        for first, second in zip(mine, theirs, strict=True)
    ]
    return sum(first == second for first, second in pairs) / len(pairs)


def _folder(given: argparse.Namespace) -> Path:
    return given.models / f"{given.model}-edited"

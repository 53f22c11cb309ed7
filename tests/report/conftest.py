"""A run folder as a real run leaves it: 40 steps of "a + b", three rewards of which one is unwell, five evaluations."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

STEPS = 40
PROMPTS = 8
GROUP = 8
HELDOUT = 100
EVAL_EVERY = 10
SYSTEM = "Think first, then give the answer between <answer> and </answer>."
ATTACK = (
    '</script><script>window.attacked = 1</script><img src=x onerror="window.attacked = 2">'
    "<!-- <script> \u2028 & &lt;b&gt;"
)
"""What a completion must not be able to do to the page."""

CONFIG = f"""\
name = "arithmetic"
seed = 42
plugins = ["lydite-text", "lydite-formats"]

[model]
path = "package:smollm2-135m-instruct"

[data]
use = "arithmetic"

[rewards.correct]
use = "text/number"
weight = 1.0

[rewards.format]
use = "text/tags"
weight = 0.2

[rewards.judge]
use = "judge/clarity"
weight = 0.3

[train]
max_steps = {STEPS}
num_generations = {GROUP}
learning_rate = 3e-4
loss_type = "dapo"
"""


def skill(step: int) -> float:
    """The share of right answers at a step."""
    return 0.3 + 0.5 / (1 + math.exp(-(step - 14) / 5))


def jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")


def prompt_text(a: int, b: int) -> str:
    asked = f"<|im_start|>user\nWhat is {a} + {b}?<|im_end|>\n<|im_start|>assistant\n"
    return f"<|im_start|>system\n{SYSTEM}<|im_end|>\n{asked}"


def verdict(
    score: float | None, status: str = "ok", *, passed: bool | None = None, reason: str = "", **more: Any
) -> dict[str, Any]:
    return {
        "score": score,
        "status": status,
        "passed": passed,
        "reason": reason,
        "parsed": None,
        "evidence": [],
        "parts": {},
        "verifier": "",
        "version": "",
        "scope": "completion",
        "value": score,
        "weight": 1.0,
        **more,
    }


def completion_record(dice: random.Random, step: int, sample: str, index: int, a: int, b: int) -> dict[str, Any]:
    """One completion, right and well-formed more often at later steps."""
    malformed = dice.random() > skill(step) + 0.15
    truncated = malformed and dice.random() < 0.4
    right = not malformed and dice.random() < skill(step)
    said = a + b if right else a + b + dice.choice([-10, -2, -1, 1, 2, 10])
    thought = f"We add the tens and the ones: {a} and {b} make {said}."
    text = thought * (3 if truncated else 1) if malformed else f"{thought}\n<answer>{said}</answer>"
    if (step, index, sample) == (STEPS, 0, f"train-{STEPS}-0"):
        text = ATTACK + text
    luck = dice.random()
    judge = (
        verdict(None, "timeout", reason="deadline", value=0.0, weight=0.3)
        if luck < 0.004
        else verdict(None, "error", reason="ConnectionError", weight=0.3)
        if luck < 0.012
        else verdict(None, "abstain", reason="judge.unsure", weight=0.3)
        if luck < 0.1
        else verdict(
            round(0.4 + 0.5 * dice.random(), 3),
            reason="clarity",
            weight=0.3,
            parts={"brief": verdict(0.7, reason="length.fine"), "plain": verdict(0.5, reason="words.long")},
        )
    )
    rewards = {
        "correct": verdict(
            float(right),
            passed=right,
            reason="number.equal" if right else "number.missing" if malformed else "number.different",
            parsed=None if malformed else str(said),
            evidence=[] if malformed else [{"text": str(said), "start": 0, "end": 2, "note": "last number"}],
            verifier="text/number",
            version="0.1.0",
        ),
        "format": verdict(
            0.0 if malformed else 1.0,
            passed=not malformed,
            reason="tags.missing" if malformed else "tags.found",
            weight=0.2,
            verifier="text/tags",
            version="0.1.0",
        ),
        "judge": {**judge, "verifier": "judge/clarity", "version": "2.1.0"},
    }
    return {
        "step": step,
        "sample": sample,
        "index": index,
        "prompt": prompt_text(a, b),
        "reference": str(a + b),
        "completion": text,
        "tokens": 48 if truncated else len(text) // 4,
        "finish_reason": "length" if truncated else "stop",
        "answer": None if malformed else str(said),
        "reasoning": "" if malformed else thought,
        "format_error": "answer.missing" if malformed else None,
        "reward": sum(one["weight"] * (one["value"] or 0.0) for one in rewards.values()),
        "advantage": 0.0,
        "rewards": rewards,
    }


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def deviation(values: list[float]) -> float:
    return math.sqrt(mean([(value - mean(values)) ** 2 for value in values]))


def step_completions(dice: random.Random, step: int) -> list[dict[str, Any]]:
    records = []
    for place in range(PROMPTS):
        a, b = dice.randint(2, 30), dice.randint(2, 30)
        group = [completion_record(dice, step, f"train-{step}-{place}", index, a, b) for index in range(GROUP)]
        rewards = [one["reward"] for one in group]
        for one in group:
            one["advantage"] = (one["reward"] - mean(rewards)) / (deviation(rewards) + 1e-4)
        records += group
    return records


def metrics_record(dice: random.Random, step: int, records: list[dict[str, Any]]) -> dict[str, Any]:
    lengths = [float(one["tokens"]) for one in records]
    rewards = [one["reward"] for one in records]
    groups = [rewards[start : start + GROUP] for start in range(0, len(rewards), GROUP)]
    metrics: dict[str, Any] = {"step": step, "reward": mean(rewards), "reward_std": deviation(rewards)}
    for name in ("correct", "format", "judge"):
        verdicts = [one["rewards"][name] for one in records]
        scores = [one["score"] for one in verdicts if one["score"] is not None]
        metrics |= {f"rewards/{name}/mean": mean(scores), f"rewards/{name}/std": deviation(scores)}
        metrics |= {f"rewards/{name}/{kind}": {"correct": 0.8}.get(name, 0.1) for kind in ("share", "spread_share")}
        for status in ("ok", "abstain", "error", "timeout"):
            metrics[f"verdicts/{name}/{status}"] = mean([float(one["status"] == status) for one in verdicts])
    return metrics | {
        "frac_reward_zero_std": mean([float(deviation(group) < 1e-6) for group in groups]),
        "completions/mean_length": mean(lengths),
        "completions/min_length": min(lengths),
        "completions/max_length": max(lengths),
        "completions/mean_terminated_length": mean(lengths) - 1,
        "completions/clipped_ratio": mean([float(one["finish_reason"] == "length") for one in records]),
        "format/failed": mean([float(one["format_error"] is not None) for one in records]),
        "loss": dice.gauss(0, 0.02),
        "grad_norm": 0.4 + dice.random() * 0.5,
        "learning_rate": 3e-4 * (1 - (step - 1) / STEPS),
        "entropy": 0.9 * math.exp(-step / 30) + dice.random() * 0.05,
        "kl": 0.002 * step + dice.random() * 0.01,
        "clip_ratio/low_mean": dice.random() * 0.004,
        "clip_ratio/high_mean": dice.random() * 0.006,
        "clip_ratio/region_mean": dice.random() * 0.01,
        "num_tokens": step * PROMPTS * GROUP * 30,
    }


def timings_record(dice: random.Random, step: int) -> dict[str, Any]:
    parts = {
        "time/generate": 3.1 + dice.random() * 0.6,
        "time/score": 0.3 + dice.random() * 0.1,
        "time/train": 3.8 + dice.random() * 0.5,
    }
    if step % EVAL_EVERY == 0:
        parts |= {"time/eval": 4.2 + dice.random(), "time/checkpoint": 0.6}
    seconds = {
        f"rewards/{name}/seconds_{kind}": base * factor * (0.8 + 0.4 * dice.random())
        for name, base in (("correct", 0.0004), ("format", 0.0001), ("judge", 0.04))
        for kind, factor in (("mean", 1), ("max", 8))
    }
    memory = {"memory/rss_bytes": 1.6e9 + step * 2e6, "memory/peak_bytes": 2.05e9 + step * 3e6}
    return {
        "step": step,
        "step_time": sum(parts.values()),
        **parts,
        "tokens_per_second": 640 + dice.random() * 90,
        **memory,
        **seconds,
    }


def eval_record(step: int) -> dict[str, Any]:
    """Greedy answers to the same questions each time; a question once learned is seldom forgotten."""
    answers = []
    for place in range(HELDOUT):
        dice = random.Random(f"heldout-{place}")
        a, b, difficulty = dice.randint(2, 30), dice.randint(2, 30), dice.random()
        slip = random.Random(f"slip-{place}-{step}").random() < 0.05
        right = (difficulty < skill(step)) != slip
        said = a + b if right else a + b + 1
        answers.append(
            {
                "sample": f"heldout-{place}",
                "prompt": prompt_text(a, b),
                "reference": str(a + b),
                "completion": f"We add the tens and the ones: {a} and {b} make {said}.\n<answer>{said}</answer>",
                "tokens": 30,
                "finish_reason": "stop",
                "answer": str(said),
                "reasoning": "",
                "format_error": None,
                "score": float(right),
                "passed": right,
                "status": "ok",
                "reason": "number.equal" if right else "number.different",
            }
        )
    value = mean([one["score"] for one in answers])
    return {"step": step, "metric": "accuracy", "value": value, "n": HELDOUT, "answers": answers}


def probe_records(step: int) -> list[dict[str, Any]]:
    """Three attacks on `correct`, one of which it passes from step 20 on, and a canary for the judge."""
    texts = {"empty": "", "enumeration": "0 1 2 3", "two-answers": "7 or 8"}
    attacks = [
        {
            "step": step,
            "kind": "attack",
            "sample": f"train-{step}-0",
            "attack": name,
            "text": text,
            "total": 0.0,
            "gold_total": 1.0,
            "about": ["correct"],
            "paid": ["correct"] if name == "enumeration" and step >= 20 else [],
            "rewards": {"correct": {"score": 0.0}},
        }
        for name, text in texts.items()
    ]
    canary = {**attacks[0], "kind": "canary", "about": ["judge"], "rewards": {"correct": {}, "judge": {}}, "paid": []}
    return [*attacks, canary]


def write_run(folder: Path, *, steps: int = STEPS, finished: bool = True) -> Path:
    """A run folder with `steps` steps done; without `finished`, the run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(7)
    completions = [step_completions(dice, step) for step in range(1, steps + 1)]
    metrics = [metrics_record(dice, step, records) for step, records in enumerate(completions, 1)]
    timings = [timings_record(dice, step) for step in range(1, steps + 1)]
    evals = [eval_record(step) for step in range(0, steps + 1, EVAL_EVERY)]
    (folder / "config.toml").write_text(CONFIG)
    manifest = {
        "lydite": "0.1.0",
        "python": "3.11.2",
        "packages": {"torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.0"},
        "plugins": [
            {
                "plugin": "text",
                "distribution": "lydite-text",
                "version": "0.1.0",
                "source": "entry_point",
                "sha256": "9f2b" * 16,
            },
            {
                "plugin": "formats",
                "distribution": "lydite-formats",
                "version": "0.1.0",
                "source": "entry_point",
                "sha256": "11aa" * 16,
            },
        ],
        "device": "x86_64 (2 threads)",
        "threads": 2,
        "seed": 42,
        "model": "package:smollm2-135m-instruct",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    jsonl(folder / "metrics.jsonl", metrics)
    jsonl(folder / "timings.jsonl", timings)
    jsonl(folder / "completions.jsonl", (one for records in completions for one in records))
    jsonl(folder / "evals.jsonl", evals)
    jsonl(folder / "probes.jsonl", (one for step in range(10, steps + 1, 10) for one in probe_records(step)))
    jsonl(folder / "skipped.jsonl", [{"sample": "train-900", "reason": "prompt of 1,310 tokens is longer than 1,024"}])
    if finished:
        values = [one["value"] for one in evals]
        best = max(evals, key=lambda one: one["value"])
        summary = {
            "name": "arithmetic",
            "steps": steps,
            "seconds": sum(one["step_time"] for one in timings),
            "heldout": {
                "metric": "accuracy",
                "n": HELDOUT,
                "first": values[0],
                "best": best["value"],
                "last": values[-1],
                "best_step": best["step"],
            },
            "reward": {"first": metrics[0]["reward"], "last": metrics[-1]["reward"]},
            "tokens_per_second": 684.2,
            "peak_memory_bytes": 2.17e9,
            "plugins": {"lydite-text": "0.1.0", "lydite-formats": "0.1.0"},
            "report": str(folder / "report.html"),
            "stopped": "finished",
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 40 steps; tests may write its report, and must not change anything else."""
    return write_run(tmp_path_factory.mktemp("runs") / "arithmetic")


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    """A run of four steps that goes on, for tests that change it."""
    return write_run(tmp_path / "small", steps=4, finished=False)

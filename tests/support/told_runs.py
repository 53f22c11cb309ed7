"""A run as observers are told of it: its start, its steps and its end, made up, without a model.

from support.told_runs import run_info, step_report, run_result
"""

from __future__ import annotations

import math
from pathlib import Path

from lydite.types import (
    Completion,
    Component,
    Divergence,
    EvalReport,
    Generated,
    Parsed,
    Prompt,
    RunInfo,
    RunResult,
    Sample,
    Scored,
    ScoredCompletion,
    ScoredGroup,
    StepReport,
    Verdict,
)

STEPS = 4
PARTED = Divergence(4, 0, "accuracy", 0.6, 0.2, 0.31, 0.87, 40, 2, 1e-9)


def run_info(folder: Path, *, resumed_from: int = 0) -> RunInfo:
    """The start of a run of four steps with the rewards `correct` and `format`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "name": "sums",
        "seed": 7,
        "rewards": {"correct": {"use": "text/exact", "weight": 1.0}, "format": {"use": "formats/followed"}},
        "train": {"max_steps": STEPS, "learning_rate": 1e-4},
        "eval": None,
    }
    return RunInfo("sums", str(folder), STEPS, config, {"lydite": "0.1.0", "device": "cpu"}, resumed_from)


def step_report(step: int) -> StepReport:
    """A step; step 0 is the evaluation before the first, step 2 has a figure that is not finite, step 4 has parted."""
    if step == 0:
        return StepReport(0, STEPS, {}, {"memory/peak_bytes": 5e8}, None, EvalReport(0, "accuracy", 0.25, 8, ()))
    metrics = {"reward": reward_of(step), "rewards/correct/mean": 0.5, "kl": math.nan if step == 2 else 0.01 * step}
    timings = {"step_time": 1.5, "time/generate": 0.5}
    heldout = EvalReport(step, "accuracy", 0.25 + 0.1 * step, 8, ()) if step % 2 == 0 else None
    return StepReport(step, STEPS, metrics, timings, _scored(step), heldout, PARTED if step == STEPS else None)


def reward_of(step: int) -> float:
    """The step's mean reward."""
    return 0.125 * step


def run_result(folder: Path) -> RunResult:
    """The end of the run."""
    return RunResult(str(folder), {"name": "sums", "steps": STEPS, "stopped": "finished", "heldout": {"best": 0.65}})


def _scored(step: int) -> Scored:
    groups = tuple(
        ScoredGroup(_prompt(place), tuple(_completion(step, place, index) for index in range(2))) for place in range(2)
    )
    return Scored(groups, {}, {})


def _prompt(place: int) -> Prompt:
    text = f"What is {place} + 1?\nSay only the number."
    return Prompt(Sample(f"s{place}", text, str(place + 1)), text, (1, 2))


def _completion(step: int, place: int, index: int) -> ScoredCompletion:
    text = f"step {step}: {place} | {index} ✓"
    components = {"correct": Component(Verdict(float(index)), float(index), 1.0)}
    if index:
        components["format"] = Component(Verdict.abstain("none"), None, 1.0)
    return ScoredCompletion(
        Generated((1,), text, text, "stop"), Completion(text, Parsed(text)), components, float(index), index - 0.5
    )

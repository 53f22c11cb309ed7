"""False alarms and detections of the divergence rule on simulated runs: `python benchmarks/independence.py`.

A simulated run has an ability that moves by its kind's course, held-out prompts that are answered rightly the more
likely the higher it is, and a training reward that is a noisy mean of the same ability and of whatever else is paid.
The numbers of evaluations and of steps between them are drawn for each run. Prints a table, and appends one JSON line
for each kind and number of held-out prompts to `benchmarks/results/independence.jsonl`. Beside the rule stands what
one would write first: the held-out metric is below its best by more than one standard error while the reward is above
what it was then.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lydite.independence import Independence

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "independence.jsonl"
PROMPTS: Final = (32, 64, 128, 512)
PATIENCE: Final = 2  # evaluations in a row, as the configuration has it
_REDRAWN: Final = 0.3  # of the prompts get a new draw at each evaluation: what else a changed policy changes
_SAMPLED: Final = 64  # completions of a step

Course = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Times from 0 to 1 in, ability (in logits) and what is paid besides (in rewards) at each out."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run shows: the rewards of its steps, and at each evaluation its step, value and scores."""

    rewards: list[float]
    evaluations: list[tuple[int, float, list[float | None]]]
    falls_at: int
    """Number of the first evaluation at which the held-out metric has really lost half of what it will lose."""


def plateau(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Nothing is learned."""
    return np.full_like(times, dice.normal(0, 1)), np.zeros_like(times)


def learns(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ability climbs and levels off."""
    return -1.5 + dice.uniform(1, 4) * (1 - np.exp(-times * dice.uniform(2, 8))), np.zeros_like(times)


def shaped(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As `learns`, while a reward for form goes on climbing after ability has levelled off."""
    ability, _ = learns(times, dice)
    return ability, dice.uniform(0.2, 0.8) * times


def wavers(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As `shaped`, and ability itself goes up and down by a few points of accuracy."""
    ability, besides = shaped(times, dice)
    wave = sum(dice.normal(0, 0.1) * np.sin(2 * math.pi * (k * times * 3 + dice.uniform())) for k in range(1, 6))
    return ability + wave, besides


def breaks_down(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Training fails: ability is lost, and the reward with it."""
    ability, besides = learns(times, dice)
    return np.where(times > dice.uniform(0.3, 0.8), -4.0, ability), besides


def collapses(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A hole is found: within a tenth of the run ability is gone and the reward at its top."""
    ability, _ = learns(times, dice)
    hacked = np.clip((times - dice.uniform(0.2, 0.7)) / 0.1, 0, 1)
    return ability * (1 - hacked) - 5 * hacked, 1.2 * hacked


def erodes(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What is paid besides crowds out ability, over the second half of the run, by about half."""
    ability, _ = learns(times, dice)
    hacked = np.clip((times - 0.4) / 0.5, 0, 1)
    return ability - 2.5 * hacked, 0.8 * hacked


def from_the_start(times: np.ndarray, dice: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The base model is the best there will be: the hole is found at once."""
    hacked = np.clip(times / dice.uniform(0.2, 0.6), 0, 1)
    return dice.uniform(-0.5, 1) - 4 * hacked, 1.2 * hacked


HEALTHY: Final[Mapping[str, Course]] = {
    "nothing is learned": plateau,
    "learns and levels off": learns,
    "form still climbs after ability": shaped,
    "the same, and ability wavers": wavers,
    "training breaks down": breaks_down,
}
HACKED: Final[Mapping[str, Course]] = {
    "collapses": collapses,
    "erodes by half": erodes,
    "hacked from the start": from_the_start,
}


def simulate(course: Course, prompts: int, dice: np.random.Generator) -> Run:
    """One run of a kind with so many held-out prompts."""
    evaluations, every = int(dice.integers(8, 41)), int(dice.integers(2, 11))
    times = np.linspace(0, 1, evaluations * every + 1)
    ability, besides = course(times, dice)
    difficulty, draw = dice.normal(0, 1.5, prompts), dice.uniform(size=prompts)
    shares = (1 / (1 + np.exp(difficulty[None, :] - ability[:, None]))).mean(1)
    noise = dice.normal(0, math.sqrt(0.25 / _SAMPLED), len(times))
    rewards = shares + besides + noise
    seen = []
    for place in range(0, len(times), every):
        fresh = dice.uniform(size=prompts) < _REDRAWN
        draw = np.where(fresh, dice.uniform(size=prompts), draw)
        right = (draw < 1 / (1 + np.exp(difficulty - ability[place]))).astype(float)
        seen.append((place, float(right.mean()), right.tolist()))
    true = shares[::every]
    top = int(true.argmax())
    lost = np.flatnonzero((true < (true[top] + true[-1]) / 2) & (np.arange(len(true)) > top))
    return Run(rewards[1:].tolist(), seen, int(lost[0]) if len(lost) else len(true))


def alarm(run: Run) -> int | None:
    """The number of the first evaluation at which the rule finds that the two have parted."""
    known, done = Independence(), 0
    for number, (step, value, scores) in enumerate(run.evaluations):
        for reward in run.rewards[done:step]:
            known.saw_reward(reward)
        done = step
        known.saw_evaluation(step, "accuracy", value, scores)
        if known.divergence(PATIENCE) is not None:
            return number
    return None


def naive_alarm(run: Run) -> int | None:
    """The same of the rule that one would write first."""
    best, then = -1.0, math.inf
    for number, (step, value, scores) in enumerate(run.evaluations):
        reward = run.rewards[max(0, step - 1)]
        if value > best:
            best, then = value, reward
        elif best - value > math.sqrt(0.25 / len(scores)) and reward > then:
            return number
    return None


def rates(course: Course, prompts: int, runs: int, seed: int) -> dict[str, Any]:
    """Shares of runs that raise the alarm, by either rule, and how many evaluations late; None where none does."""
    dice = np.random.default_rng(seed)
    made = [simulate(course, prompts, dice) for _ in range(runs)]
    found = [(alarm(run), run.falls_at) for run in made]
    late = [number - falls_at for number, falls_at in found if number is not None]
    return {
        "prompts": prompts,
        "runs": runs,
        "alarms": sum(number is not None for number, _ in found) / runs,
        "naive_alarms": sum(naive_alarm(run) is not None for run in made) / runs,
        "evaluations_late": float(np.median(late)) if late else None,
    }


def main() -> None:
    """Prints the table and keeps it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="of each kind and number of prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    command = f"python benchmarks/independence.py --runs {arguments.runs} --seed {arguments.seed}"
    heads = "".join(f"{prompts:>8}" for prompts in PROMPTS)
    print(f"{'held-out prompts':34}{heads}   naive at {PROMPTS[-2]}   late")
    lines = []
    for healthy, kinds in ((True, HEALTHY), (False, HACKED)):
        for name, course in kinds.items():
            rows = [rates(course, prompts, arguments.runs, arguments.seed) for prompts in PROMPTS]
            lines += [{"case": name, "healthy": healthy, **row, "command": command} for row in rows]
            found = "".join(f"{row['alarms']:8.1%}" for row in rows)
            print(f"{name:34}{found}{rows[-2]['naive_alarms']:15.1%}{rows[-2]['evaluations_late'] or 0:7.0f}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    with arguments.json.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()

"""The reward: what the task that made the question says of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from lydite import DataError, Verdict, reward
from lydite_reasoning_gym.gym import scorer
from lydite_reasoning_gym.screen import is_fit

FULL: Final = 1.0 - 1e-9  # some scorers add up shares


@reward(range=(0.0, 1.0), isolation="worker", timeout=20.0)
def score(answer: str, task: Any, *, partial: bool = False) -> Verdict:
    """1 for an answer that the task scores in full, else 0; with `partial`, the task's own score.

    Tasks give partial scores for answers that merely hold the right one ("10" scores 0.5 where "1" is
    right), so partial scores are not for training without a look at the task.
    """
    if not isinstance(task, Mapping) or not {"name", "config", "entry"} <= set(task):
        return Verdict.error("task.not_reasoning_gym", scope="prompt")
    name, entry = str(task["name"]), dict(task["entry"])
    try:
        judge = scorer(name, task["config"])
    except DataError:
        return Verdict.error("task.unknown", scope="prompt")
    given = answer.strip()
    if not given:
        return Verdict(0.0, passed=False, reason="answer.empty")
    if not is_fit(name, given):
        return Verdict(0.0, passed=False, reason="answer.unfit")
    points = _points(judge, given, entry)
    if points is None:
        # Whose fault? A scorer that takes the gold answer is sound, and this answer is none that it can read.
        gold = entry.get("answer")
        if isinstance(gold, str) and _points(judge, gold, entry) is None:
            return Verdict.error("scorer.broken", scope="prompt")
        return Verdict(0.0, passed=False, reason="answer.unreadable", parsed=given)
    passed = points >= FULL
    reason = "task.solved" if passed else "task.partial" if points > 0 else "task.failed"
    return Verdict(points if partial else float(passed), passed=passed, reason=reason, parsed=given)


def _points(judge: Any, answer: str, entry: dict[str, Any]) -> float | None:
    """The task's score from 0 to 1, or None when its scorer raises or returns anything else."""
    try:
        points = float(judge.score_answer(answer=answer, entry=entry))
    except Exception:  # noqa: BLE001 - scorers raise whatever their parsing trips over
        return None
    return points if math.isfinite(points) and 0.0 <= points <= 1.0 else None

"""Held-out evaluation: greedy answers, judged by a reward that has no part in training."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.errors import RewardError
from lydite.rewards import RewardStack
from lydite.rollout import Engine, Sampling, generate_with_retry
from lydite.types import EvalReport, Prompt


def evaluate(
    engine: Engine, prompts: Sequence[Prompt], stack: RewardStack, *, metric: str, max_length: int, step: int
) -> EvalReport:
    """The mean score over the held-out prompts that could be judged, and every answer.

    Raises:
        EngineError: when the engine fails twice.
        RewardError: when not one answer could be judged.
    """
    sampling = Sampling(num_generations=1, max_completion_length=max_length, temperature=0.0)
    scored = stack.score(generate_with_retry(engine, prompts, sampling, seed=0), step)
    scores = [one.reward for group in scored.groups for one in group.completions if one.reward is not None]
    if not scores:
        raise RewardError(f"the evaluation's reward could judge none of the {len(prompts)} held-out answers")
    return EvalReport(step, metric, sum(scores) / len(scores), len(scores), scored.groups)

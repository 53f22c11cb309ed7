"""The environment of several tries: an answer that the task does not accept may be mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from lydite import DataError, Message, Observation, Sample, Status
from lydite_reasoning_gym.score import score
from lydite_reasoning_gym.screen import EVALUATES_FORMULAS, EVALUATES_LISTS

AGAIN = "That is not right. Try again, and reply with the answer only."


class Tries:
    """Pays 1 for an answer that is right at the first try, `discount` of it at the second, and so on; else 0.

    The whole turn is taken for the answer. Tasks whose scorers evaluate the answer's text are refused, since
    environments run in the trainer's own process.
    """

    def __init__(self, *, discount: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5) -> None:
        self._discount = discount
        self._worth = 1.0
        self._task: Any = None

    def reset(self, sample: Sample) -> Sequence[Message]:
        """Nothing: the question is the sample's prompt.

        Raises:
            DataError: when the sample is none of reasoning-gym, or of a task that evaluates answers.
        """
        self._task = sample.columns.get("task")
        if not isinstance(self._task, dict) or "name" not in self._task:
            raise DataError(
                'reasoning-gym/tries plays with the data set "reasoning-gym"; this sample has no task of it'
            )
        if self._task["name"] in EVALUATES_FORMULAS | EVALUATES_LISTS:
            raise DataError(
                f"the scorer of {self._task['name']!r} evaluates the text of answers, which is for a worker process; "
                "use the reward reasoning-gym/score without an environment, or another task"
            )
        return ()

    def step(self, reply: str) -> Observation:
        """What the answer is worth at this try, or a request for another.

        Raises:
            RuntimeError: when the task cannot judge.
        """
        verdict = score(reply, self._task)
        if verdict.status is not Status.OK:
            raise RuntimeError(f"the task cannot judge the answer: {verdict.reason}")
        if verdict.passed:
            return Observation(reward=self._worth, done=True)
        self._worth *= self._discount
        return Observation(AGAIN, reward=0.0)

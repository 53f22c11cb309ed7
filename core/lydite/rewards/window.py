"""The share of errors among a reward's latest verdicts, and the point at which it stops the run."""

from __future__ import annotations

from collections import deque
from typing import Any

from lydite.errors import CheckpointError, RewardError
from lydite.rewards.verdicts import explain
from lydite.types import Status, Verdict


class ErrorWindow:
    """The latest verdicts of one reward: which of them were errors.

    The share is taken over the whole window from the first verdict on, so that one error among the first eight
    does not stop a run: more than `max_share * size` errors within `size` verdicts do.
    """

    def __init__(self, spoken: str, *, size: int, max_share: float) -> None:
        self._spoken = spoken
        self._size = size
        self._max_share = max_share
        self._errors: deque[bool] = deque(maxlen=size)

    def add(self, verdict: Verdict, sample_id: str) -> None:
        """Takes a verdict into account.

        Raises:
            RewardError: when errors exceed their share; names reward, distribution, sample and cause.
        """
        self._errors.append(verdict.status is Status.ERROR)
        if verdict.status is not Status.ERROR:
            return
        errors = sum(self._errors)
        if errors > self._max_share * self._size:
            raise RewardError(
                f"{self._spoken} failed on {errors} of its last {len(self._errors)} verdicts; a run allows "
                f"{self._max_share:.3g} of {self._size}. The last one, on sample {sample_id!r}: {explain(verdict)}. "
                "Mend the reward, or allow more with stack.max_error_share"
            )

    def state(self) -> list[int]:
        """The window as JSON: 1 for an error, oldest first."""
        return [int(one) for one in self._errors]

    def restore(self, state: Any) -> None:
        """Goes on from a state.

        Raises:
            CheckpointError: when it is not one.
        """
        if not isinstance(state, list) or any(one not in (0, 1) for one in state):
            raise CheckpointError(f"the error window of {self._spoken} must be a list of 0 and 1, got {state!r}")
        self._errors = deque((bool(one) for one in state), maxlen=self._size)

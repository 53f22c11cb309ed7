"""Completions that an engine is asked for while they are judged: nothing of them has to be saved in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from lydite.rescore import Saved
from lydite.rollout import Engine, Sampling, generate_with_retry
from lydite.types import Prompt, Rollout

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many of how many prompts are done."""


class FreshCompletions:
    """Completions that an engine samples as they are asked for: `SavedCompletions` that no file holds.

    At most `at_once` prompts are asked in one call, so that this many groups are in memory.
    """

    regrouped = 0
    holds_tokens = True

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: int,
        at_once: int,
        progress: Progress | None = None,
    ) -> None:
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._seed = seed
        self._at_once = at_once
        self._progress = progress
        self.seconds = 0.0
        """Spent in the engine so far."""
        self._tokens = 0
        self._truncated = 0

    def counts(self) -> dict[str, Any]:
        """What was sampled so far, in JSON terms; `truncated` are completions that ran into the limit."""
        return {
            "prompts": len(self._prompts),
            "tokens": self._tokens,
            "truncated": self._truncated,
            "seconds": round(self.seconds, 3),
        }

    def groups(self) -> Iterator[Sequence[tuple[int, Saved]]]:
        """Each prompt's completions, with their numbers from 0.

        Raises:
            EngineError: when the engine fails twice.
        """
        number = 0
        for start in range(0, len(self._prompts), self._at_once):
            asked = self._prompts[start : start + self._at_once]
            began = time.perf_counter()
            rollouts = generate_with_retry(self._engine, asked, self._sampling, self._seed)
            self.seconds += time.perf_counter() - began
            if self._progress is not None:
                self._progress(start + len(asked), len(self._prompts))
            for rollout in rollouts:
                rows = [(number + index, one) for index, one in enumerate(_saved(rollout))]
                number += len(rows)
                self._tokens += sum(one.tokens or 0 for _, one in rows)
                self._truncated += sum(one.finish_reason == "length" for _, one in rows)
                yield rows


def _saved(rollout: Rollout) -> Iterator[Saved]:
    sample = rollout.prompt.sample
    for one in rollout.completions:
        yield Saved(
            f"sample {sample.id!r}",
            sample.id,
            sample,
            rollout.prompt.text,
            one.text,
            tokens=one.sampled,
            finish_reason=one.finish_reason,
            generated=one,
        )

"""Saved groups through a reward stack, a step at a time, with advantages as a run would have given them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lydite.config import RunConfig
from lydite.contracts import GIVEN, Format
from lydite.errors import ConfigError, DataError
from lydite.objective.advantages import configured_advantages, with_configured_advantages
from lydite.plugins import Plugins
from lydite.rescore.gold import Golds
from lydite.rescore.saved import Saved
from lydite.rewards import RewardStack, build_stack
from lydite.rewards.binding import Binding, bind
from lydite.rewards.episode import with_episode_reward
from lydite.suggest import close_to
from lydite.types import FormatError, Generated, Parsed, Prompt, Rollout, ScoredGroup

GROUPS_AT_ONCE: Final = 64
"""Groups that count as one step where rows do not say their step."""
MOST_AT_ONCE: Final = 4096
"""Completions in memory: a longer step is cut, which only an advantage over the whole step can tell."""

Rows = Sequence[tuple[int, Saved]]


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A group then and now."""

    step: int
    rows: Rows
    before: tuple[float | None, ...]
    """Advantages as they were; None where nothing tells."""
    after: ScoredGroup


class Rejudging:
    """A stack over saved completions. Close it when done."""

    def __init__(
        self, config: RunConfig, plugins: Plugins, format: Format | None, golds: Golds | None, *, with_tokens: bool
    ) -> None:
        self._config = config
        self._golds = golds
        self._as_saved = _AsSaved() if format is None else None
        plugins = with_episode_reward(config, plugins)
        self._bindings = tuple(bind(name, reward, plugins) for name, reward in config.rewards.items())
        for binding in () if with_tokens else self._bindings:
            _refuse_token_ids(binding)
        self.stack: RewardStack = build_stack(config, plugins, format or self._as_saved or _AsSaved())

    def close(self) -> None:
        """Ends the worker processes."""
        self.stack.close()

    def judge(self, groups: Iterable[Rows]) -> Iterator[list[Rejudged]]:
        """The groups of each step, judged.

        Raises:
            DataError: when a row lacks what a reward needs.
            RewardError: when a reward's errors exceed the share that the stack allows.
        """
        for step, batch in _steps(self._completed(groups)):
            if self._as_saved is not None:
                self._as_saved.remember(saved for rows in batch for _, saved in rows)
            scored = self.stack.score([_rollout(rows) for rows in batch], step)
            filled = with_configured_advantages(scored, self._config)
            before = self._before(batch)
            yield [
                Rejudged(step, rows, then, now) for rows, then, now in zip(batch, before, filled.groups, strict=True)
            ]

    def _completed(self, groups: Iterable[Rows]) -> Iterator[Rows]:
        golds = self._golds
        for rows in groups:
            whole = rows if golds is None else [(number, golds.completed(saved)) for number, saved in rows]
            for _, saved in whole:
                self._check(saved)
            yield whole

    def _check(self, saved: Saved) -> None:
        """Nothing, when the row has all that the stack needs."""
        if self._config.length is not None and saved.tokens is None:
            raise DataError(f"{saved.where}: [length] needs the completion's length; expected 'tokens', a whole number")
        for binding in self._bindings:
            if not saved.has_reference and "reference" in (*binding.given, *binding.columns):
                raise DataError(
                    f"{saved.where}: {binding.spoken} compares with a gold answer, and the row has none; name its key "
                    "with --reference, or give the data set with --data"
                )
            for column in binding.needed_columns:
                if column not in saved.sample.columns and not (binding.kind == "batch" and column == "reference"):
                    there = ", ".join(sorted(saved.sample.columns)) or "no columns"
                    near = close_to(column, {*saved.sample.columns, *GIVEN})
                    remedy = f"did you mean {near!r}?" if near else "give the data set with --data"
                    raise DataError(
                        f"{saved.where}: {binding.spoken} asks for the column {column!r}, and the row has {there}; "
                        f"{remedy}"
                    )

    def _before(self, batch: Sequence[Rows]) -> list[tuple[float | None, ...]]:
        """The advantages that the rows bring along, or else those of the rewards that they bring along."""
        if all(saved.advantage is None for rows in batch for _, saved in rows):
            rewards = [[saved.reward for _, saved in rows] for rows in batch]
            found = configured_advantages(rewards, self._config.train)
            return [
                tuple(a if any(one is not None for one in then) else None for a in of_group)
                for of_group, then in zip(found, rewards, strict=True)
            ]
        return [tuple(saved.advantage for _, saved in rows) for rows in batch]


class _AsSaved:
    """The format that the completions were saved under: what it read then is looked up, not read again."""

    instructions = ""

    def __init__(self) -> None:
        self._parsed: Mapping[str, Parsed | FormatError] = {}

    def remember(self, rows: Iterable[Saved]) -> None:
        """Takes the rows that are read next."""
        self._parsed = {one.text: one.parsed for one in rows if one.parsed is not None}

    def parse(self, text: str) -> Parsed | FormatError:
        """What was read then; the whole text where nothing tells."""
        known = self._parsed.get(text)
        if known is not None:
            return known
        answer = text.strip()
        return Parsed(answer) if answer else FormatError("answer.empty", "the completion is empty")


def _steps(groups: Iterable[Rows]) -> Iterator[tuple[int, list[Rows]]]:
    """Groups that are judged together, with their step."""
    batch: list[Rows] = []
    held, current = 0, None
    for rows in groups:
        step = rows[0][1].step
        full = held + len(rows) > MOST_AT_ONCE or (step is None and len(batch) == GROUPS_AT_ONCE)
        if batch and (step != current or full):
            yield max(current or 1, 1), batch
            batch, held = [], 0
        batch.append(rows)
        held, current = held + len(rows), step
    if batch:
        yield max(current or 1, 1), batch


def _rollout(rows: Rows) -> Rollout:
    first = rows[0][1]
    return Rollout(Prompt(first.sample, first.prompt_text, ()), tuple(_generated(one) for _, one in rows))


def _generated(one: Saved) -> Generated:
    if one.generated is not None:
        return one.generated
    # Nobody looks at the tokens themselves, only at how many there are.
    return Generated((0,) * (one.tokens or 0), one.text, one.text, one.finish_reason, episode=one.episode)


def _refuse_token_ids(binding: Binding) -> None:
    if binding.kind == "batch" and "completion_ids" in inspect.signature(binding.offer.thing).parameters:
        raise ConfigError(f"{binding.spoken} asks for completion_ids, and saved completions hold no tokens")

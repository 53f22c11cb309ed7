"""TRL's convention: `f(prompts, completions, **columns) -> list[float | None]` over a whole step, unchanged.

Such a function is given everything by name: `prompts`, `completions` and `completion_ids`, every column of the
data set as a list with one entry per completion, and `trainer_state`, `log_extra` and `log_metric`. Where the
prompts are conversations, a completion is a list of messages, as TRL gives it: one of the assistant, or all of an
episode.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

from lydite.rewards.calls import Call, Kind
from lydite.rewards.verdicts import LONGEST_TEXT
from lydite.types import Completion, Evidence, Sample, Verdict

BATCH_NAMES: Final = frozenset({"prompts", "completions", "completion_ids"})
"""One of these among its parameters tells a function that follows TRL's convention."""
RECORDED: Final = ("log_extra", "log_metric")
PROVIDED: Final = BATCH_NAMES | {"trainer_state", *RECORDED}


def is_trl_style(function: Callable[..., Any]) -> bool:
    """Whether the function follows TRL's convention."""
    return not BATCH_NAMES.isdisjoint(inspect.signature(function).parameters)


@dataclass(frozen=True, slots=True)
class Row:
    """One completion as a batch function sees it."""

    sample: Sample
    completion: Completion
    token_ids: tuple[int, ...]


def batch_call(
    rows: Sequence[Row],
    *,
    takes: Sequence[str],
    takes_all: bool,
    optional: Sequence[str],
    step: int,
    max_steps: int,
) -> Call:
    """The call over these rows. `takes` are columns by name; with `takes_all`, those of every row come along.

    `trainer_state` has `global_step`, the steps that are done, and `max_steps`; nothing else of TRL's state.
    """
    shared = set.intersection(*(set(row.sample.columns) for row in rows)) if rows else set()
    columns = [*takes, *(name for name in optional if name in shared)]
    if takes_all:
        columns += sorted(shared.difference(columns, PROVIDED))
    given: dict[str, Any] = {
        "prompts": [_prompt(row.sample) for row in rows],
        "completions": [_completion(row) for row in rows],
        "completion_ids": [list(row.token_ids) for row in rows],
        "trainer_state": SimpleNamespace(global_step=max(step - 1, 0), max_steps=max_steps),
    }
    for name in columns:
        given[name] = [column_of(row.sample, name) for row in rows]
    return Call(given, len(rows))


def column_of(sample: Sample, name: str) -> Any:
    """A column of the sample; `reference` also stands for the gold answer.

    Raises:
        KeyError: when the sample has no such column.
    """
    if name not in sample.columns and name == "reference":
        return sample.reference
    return sample.columns[name]


def accepted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the function has a parameter for; all of them where it has `**kwargs`."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if name in parameters}


@dataclass(slots=True)
class Recorder:
    """What a function logs while it runs."""

    extras: dict[str, list[Any]] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    def log_extra(self, column: str, values: list[Any]) -> None:
        """A value for each completion, kept beside its verdict."""
        self.extras.setdefault(str(column), []).extend(values)

    def log_metric(self, name: str, value: float) -> None:
        """A number about the step."""
        self.metrics.setdefault(str(name), []).append(float(value))

    def annotate(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """The verdicts with the logged extras as evidence; a column of another length is left out."""
        columns = {name: values for name, values in self.extras.items() if len(values) == len(verdicts)}
        if not columns:
            return tuple(verdicts)
        return tuple(
            replace(
                verdict,
                evidence=(
                    *verdict.evidence,
                    *(Evidence(str(values[place])[:LONGEST_TEXT], note=name) for name, values in columns.items()),
                ),
            )
            for place, verdict in enumerate(verdicts)
        )

    def means(self) -> dict[str, float]:
        """The mean of each logged metric, over its finite values."""
        finite = {name: [one for one in values if math.isfinite(one)] for name, values in self.metrics.items()}
        return {name: math.fsum(values) / len(values) for name, values in finite.items() if values}


def recorder_for(kind: Kind, recorded: Sequence[str]) -> Recorder | None:
    """A recorder for functions that log, None for those that do not."""
    return Recorder() if kind == "batch" and recorded else None


def _prompt(sample: Sample) -> str | list[dict[str, str]]:
    if isinstance(sample.prompt, str):
        return sample.prompt
    return [{"role": one["role"], "content": one["content"]} for one in sample.prompt]


def _completion(row: Row) -> str | list[dict[str, str]]:
    if isinstance(row.sample.prompt, str):
        return row.completion.text
    return [{"role": one["role"], "content": one["content"]} for one in row.completion.turns]

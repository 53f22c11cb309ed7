"""What passes between the stack and whatever runs a reward: calls in, outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from lydite.types import Verdict

Kind: TypeAlias = Literal["completion", "group", "batch"]
"""What one call judges: one completion, all of a prompt's, or a whole step's in TRL's convention."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reward's results are held to."""

    name: str
    """The reward's name in the configuration, for messages."""
    range: tuple[float, float] | None = None
    """Lowest and highest score; None: not checked."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a reward."""

    arguments: Mapping[str, Any]
    """By parameter name, without the options."""
    size: int = 1
    """Completions that it judges, and so verdicts that it must give."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call: as many verdicts as its size, whatever happened."""

    verdicts: tuple[Verdict, ...]
    seconds: float = 0.0
    """Wall time of the call."""
    logged: Mapping[str, float] = field(default_factory=dict)
    """What a TRL-style function said through `log_metric`, averaged over its calls by name."""


Spread: TypeAlias = Callable[[int, Callable[[Sequence[int]], Sequence[Outcome]]], list[Outcome]]
"""`spread(count, run)`: the outcomes of calls 0 to `count` - 1, in order; `run` makes those of the places it is given.

Where a run has several processes, each makes some of the calls, and all get every outcome.
"""


def here(count: int, run: Callable[[Sequence[int]], Sequence[Outcome]]) -> list[Outcome]:
    """All outcomes, made in this process."""
    return list(run(range(count)))

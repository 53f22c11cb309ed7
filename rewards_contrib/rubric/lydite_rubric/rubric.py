"""What a rubric is: named criteria with points, each decided by a check or by a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Turn: TypeAlias = Literal["passes", "fails"]
"""Whether a criterion is met when its check passes, or when it fails."""


@dataclass(frozen=True, slots=True)
class RewardCheck:
    """Met when a reward passes."""

    use: str
    """Name of a reward that a plugin of the run offers."""
    options: Mapping[str, Any] = field(default_factory=dict)
    at_least: float | None = None
    """The score from which it passes; None: what its verdict says, else 0.5."""
    met: Turn = "passes"


@dataclass(frozen=True, slots=True)
class RegexCheck:
    """Met when a pattern is found."""

    regex: str
    of: Literal["answer", "text"] = "answer"
    met: Turn = "passes"


@dataclass(frozen=True, slots=True)
class FunctionCheck:
    """Met when a function of the user's says so."""

    function: str
    """`module:function`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    at_least: float | None = None
    met: Turn = "passes"


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """Met when a judge says so and can show where."""

    question: str
    quote: bool = True
    """Whether a "met" needs words of the answer that show it."""


Check: TypeAlias = RewardCheck | RegexCheck | FunctionCheck | JudgeCheck


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that an answer is held to."""

    id: str
    """Unique in its rubric, and stable from version to version."""
    text: str
    points: float
    """Earned when met; below 0 for what an answer must not do. Never 0."""
    check: Check
    tags: tuple[str, ...] = ()
    gate: bool = False
    """When it counts against the answer, the whole rubric earns its worst and no judge is asked."""

    @property
    def judged(self) -> bool:
        """Whether a judge decides it."""
        return isinstance(self.check, JudgeCheck)


@dataclass(frozen=True, slots=True)
class Rubric:
    """Criteria that belong together, as one file holds them."""

    name: str
    version: str
    criteria: tuple[Criterion, ...]
    digest: str = ""
    """SHA-256 of the file, its first 12 hexadecimal digits."""

    @property
    def points(self) -> tuple[float, ...]:
        """The points of every criterion, in order."""
        return tuple(one.points for one in self.criteria)

    @property
    def checked(self) -> tuple[Criterion, ...]:
        """The criteria that need no judge: gates first, otherwise in order."""
        rules = [one for one in self.criteria if not one.judged]
        return tuple(sorted(rules, key=lambda one: not one.gate))

    @property
    def judged(self) -> tuple[Criterion, ...]:
        """The criteria that a judge is asked about, in order."""
        return tuple(one for one in self.criteria if one.judged)

"""What a verifier says of a completion.

The names are those of `lydite.types`, which everything else takes them from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """How a judgement ended. Only OK carries a score."""

    OK = "ok"
    ABSTAIN = "abstain"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span that a verdict rests on: offsets in characters of the completion's text, where known."""

    text: str
    start: int | None = None
    end: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement of one completion. Not a float: "cannot tell" and "went wrong" are not 0.

    Raises:
        ValueError: on a score without OK, on OK without a score, or on a score that is not finite.
    """

    score: float | None
    status: Status = Status.OK
    passed: bool | None = None
    """For gates and pass rates; None when the verifier only grades."""
    reason: str = ""
    """Short machine code such as `number.missing`; counted in the report."""
    evidence: tuple[Evidence, ...] = ()
    parsed: str | None = None
    """What the verifier read as the answer, so that a later reader can check it."""
    parts: Mapping[str, Verdict] = field(default_factory=dict)
    """The verdicts this one is made of, for rubrics and cascades."""
    seconds: float = 0.0
    verifier: str = ""
    version: str = ""
    scope: Literal["completion", "prompt"] = "completion"
    """Whose fault a status other than OK is: the completion's, or the prompt's (bad gold, judge down)."""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.status is Status.OK):
            raise ValueError(
                f"a verdict has a score exactly when its status is ok; got score={self.score!r} "
                f"with status={self.status.value!r}"
            )
        if self.score is not None and not float("-inf") < self.score < float("inf"):
            raise ValueError(f"a verdict's score must be a finite number, got {self.score!r}")

    @classmethod
    def abstain(cls, reason: str, *, scope: Literal["completion", "prompt"] = "completion") -> Verdict:
        """A verdict that says "I cannot judge this"; it never counts as 0."""
        return cls(None, Status.ABSTAIN, reason=reason, scope=scope)

    @classmethod
    def error(cls, reason: str, *, scope: Literal["completion", "prompt"] = "completion") -> Verdict:
        """A verdict that says "the verifier broke"; too many of them stop the run."""
        return cls(None, Status.ERROR, reason=reason, scope=scope)

    @classmethod
    def timeout(cls, reason: str = "deadline", *, seconds: float = 0.0) -> Verdict:
        """A verdict that was not reached in time; the completion is scored as the worst of the range."""
        return cls(None, Status.TIMEOUT, reason=reason, seconds=seconds)
